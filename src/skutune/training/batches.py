"""How the examples of an optimizer step are shared out: over processes, and over passes of each."""

from __future__ import annotations

from skutune.config import FinetuneConfig
from skutune.errors import InputError


def micro_batches(config: FinetuneConfig, processes: int) -> tuple[int, int]:
    """(examples of one pass, passes of a step) for each process, so that a step has `batch_size` examples in all.

    Raises:
        InputError: `batch_size` cannot be shared out so.
    """
    if config.batch_size % processes:
        raise InputError(
            f"stages.finetune.batch_size: {config.batch_size} is no multiple of the {processes} processes that train; "
            f"choose {-(-config.batch_size // processes) * processes}"
        )
    share = config.batch_size // processes
    largest = min(config.micro_batch_size, share)
    if processes == 1 and share % largest:
        raise InputError(
            f"stages.finetune.batch_size: {config.batch_size} is no multiple of micro_batch_size "
            f"{config.micro_batch_size}; choose one that is"
        )
    micro = next(size for size in range(largest, 0, -1) if share % size == 0)
    return micro, share // micro
