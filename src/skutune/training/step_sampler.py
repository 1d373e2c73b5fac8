"""The order of training examples, and a loader whose items are optimizer steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from skutune.training.batches import MicroBatch, micro_batches
from skutune.training.collate import Collate


class StepOrder(Sampler[list[MicroBatch]]):  # type: ignore[misc]
    """The steps of one epoch, each as the micro-batches of this process.

    The examples of a step depend on (seed, epoch, batch size) only, so that a resumed run has the same order on any
    number of processes. Within a step, examples of similar length are grouped, which avoids most of the padding and
    does not change the gradient, a sum over the step.

    Args:
        lengths: tokens of each example.
        batch_size: examples per step over all processes.
        seed: of the shuffle.
        rank, processes: of the distributed training.
        rows, max_tokens: see `micro_batches`.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        batch_size: int,
        seed: int,
        *,
        rank: int = 0,
        processes: int = 1,
        rows: int = 1,
        max_tokens: int | None = None,
    ) -> None:
        self.lengths, self.batch_size, self.seed, self.epoch = lengths, batch_size, seed, 0
        self.rank, self.processes, self.rows, self.max_tokens = rank, processes, rows, max_tokens

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, which determines the order."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size)

    def __iter__(self) -> Iterator[list[MicroBatch]]:
        for step in self.steps():
            yield micro_batches(step, self.lengths, self.processes, self.rows, self.max_tokens)[self.rank]

    def steps(self) -> Iterator[list[int]]:
        """The indices of each step's examples."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        shuffled: list[int] = torch.randperm(len(self.lengths), generator=generator).tolist()
        for start in range(0, len(shuffled), self.batch_size):
            yield shuffled[start : start + self.batch_size]


class _MicroBatches(Dataset[dict[str, Any]]):  # type: ignore[misc]
    """A training set whose item is a whole micro-batch; only its rows are read."""

    def __init__(self, rows: Any, collate: Collate) -> None:
        self.rows, self.collate = rows, collate

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, indices: MicroBatch) -> dict[str, Any]:
        return self.collate([self.rows[index] for index in indices])


class StepLoader(DataLoader[list[dict[str, Any]]]):  # type: ignore[misc]
    """A loader whose items are optimizer steps, each a list of collated micro-batches.

    With the trainer's default loader, the batch size would have to be a multiple of processes and micro-batch size.
    """

    def __init__(self, rows: Any, order: StepOrder, collate: Collate, pin_memory: bool) -> None:
        super().__init__(_MicroBatches(rows, collate), batch_sampler=order, collate_fn=list, pin_memory=pin_memory)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, which determines the order."""
        self.batch_sampler.set_epoch(epoch)
