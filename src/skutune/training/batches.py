"""Splits the examples of an optimizer step into micro-batches, over processes and forward passes.

A step has the same examples on any number of processes and with any micro-batch size. A process with fewer
micro-batches than another gets empty ones, because ZeRO synchronises all processes in every forward pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

Each = TypeVar("Each")

MicroBatch = list[int]
"""Indices of the examples of one forward pass; empty if this process has none left."""


def micro_batches(
    step: Sequence[int], lengths: Sequence[int], processes: int, rows: int, max_tokens: int | None = None
) -> list[list[MicroBatch]]:
    """The micro-batches of each process for one step; all processes have the same number, at least one.

    Args:
        step: indices of the step's examples.
        lengths: tokens of each example of the training set.
        processes: number of distributed processes.
        rows: maximum number of examples per pass, padded to the longest.
        max_tokens: with packing, the maximum number of tokens per pass, instead of `rows`.
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


def deal(items: Sequence[Each], costs: Sequence[int], workers: int, max_items: int) -> list[list[Each]]:
    """Greedy balancing: each item, in order of decreasing cost, goes to the least loaded worker with a free place."""
    shares: list[list[Each]] = [[] for _ in range(workers)]
    loads = [0] * workers
    for item, cost in zip(items, costs, strict=True):
        worker = min(
            (each for each in range(workers) if len(shares[each]) < max_items), key=lambda each: (loads[each], each)
        )
        shares[worker].append(item)
        loads[worker] += cost
    return shares


def pack(indices: Sequence[int], lengths: Sequence[int], max_tokens: int) -> list[MicroBatch]:
    """Pack examples, in order of decreasing length, into rows of `max_tokens` by best-fit decreasing.

    TRL packs a whole training set this way (strategy `bfd_split`), so that the examples of a step depend on packing.
    Packing within a step does not change its examples.
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
