"""The order of training examples: shuffled, and sorted by length only inside an optimizer step.

A step's gradient is a sum over its examples, so their order inside the step changes nothing. Sorting there puts
examples of like length into the same micro-batch, which saves most of the padding; sorting over the whole epoch would
save a little more and train all long answers before all short ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import Sampler


class StepOrder(Sampler[int]):  # type: ignore[misc]
    """Indices of one epoch, a function of (seed, epoch) alone, so that a resumed run sees the same order.

    Args:
        lengths: tokens of each example.
        batch_size: examples an optimizer step.
        seed: of the shuffle.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self.lengths, self.batch_size, self.seed, self.epoch = lengths, batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        shuffled: list[int] = torch.randperm(len(self.lengths), generator=generator).tolist()
        for start in range(0, len(shuffled), self.batch_size):
            yield from sorted(shuffled[start : start + self.batch_size], key=lambda index: -self.lengths[index])
