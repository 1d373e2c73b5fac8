"""How the examples of an optimizer step are shared out: over processes, and over passes of each.

The examples of a step are the same however many processes train and however many fit on a device at the same time;
only what is computed together differs. A process that has fewer passes than another gets empty ones, because some ways
of training together (ZeRO) wait for each other in every pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

Each = TypeVar("Each")

MicroBatch = list[int]
"""Indices of the examples of one pass; empty where this process has nothing to add."""


def micro_batches(
    step: Sequence[int], lengths: Sequence[int], processes: int, rows: int, max_tokens: int | None = None
) -> list[list[MicroBatch]]:
    """The micro-batches of each process for one step; every process has the same number of them, at least one.

    Args:
        step: indices of the step's examples.
        lengths: tokens of each example of the training set.
        processes: how many train together.
        rows: examples of one pass at most, padded to the longest of them.
        max_tokens: where examples are packed, tokens of one pass at most, instead of `rows`.
    """
    by_length = sorted(step, key=lambda index: (-lengths[index], index))
    if max_tokens is None:
        passes = -(-len(step) // (processes * rows))
        size = -(-len(step) // (processes * passes))
        padded = [by_length[start : start + size] for start in range(0, len(by_length), size)]
        shares = deal(padded, [len(batch) * lengths[batch[0]] for batch in padded], processes, passes)
    else:
        dealt = deal(by_length, [lengths[index] for index in by_length], processes, len(step))
        shares = [pack(share, lengths, max_tokens) for share in dealt]
    most = max(map(len, shares))
    return [share + [[] for _ in range(most - len(share))] for share in shares]


def deal(things: Sequence[Each], costs: Sequence[int], hands: int, most: int) -> list[list[Each]]:
    """Things of falling cost, each to the hand that has the least to do and not yet `most` of them."""
    dealt: list[list[Each]] = [[] for _ in range(hands)]
    work = [0] * hands
    for thing, cost in zip(things, costs, strict=True):
        hand = min((each for each in range(hands) if len(dealt[each]) < most), key=lambda each: (work[each], each))
        dealt[hand].append(thing)
        work[hand] += cost
    return dealt


def pack(indices: Sequence[int], lengths: Sequence[int], max_tokens: int) -> list[MicroBatch]:
    """Examples of falling length in as few rows of `max_tokens` as best fit decreasing finds.

    TRL packs a whole training set so (its strategy `bfd_split`; nothing is left to split where examples were cut to
    `max_length` before), which makes a step's examples depend on how they are packed. Inside a step they do not.
    """
    packed: list[MicroBatch] = []
    free: list[int] = []
    for index in indices:
        fitting = [row for row, room in enumerate(free) if room >= lengths[index]]
        if fitting:
            row = min(fitting, key=free.__getitem__)
        else:
            row = len(packed)
            packed.append([])
            free.append(max_tokens)
        packed[row].append(index)
        free[row] -= lengths[index]
    return packed
