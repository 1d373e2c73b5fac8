"""Progress reports of a running stage."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of one shard of a stage, in `unit`s. `total` is an estimate; 0 if unknown.

    `trained_tokens_per_second` is set by training stages only.
    """

    stage: str
    shard: int
    done: float
    total: float
    unit: str = "items"
    rows: int = 0
    rejected: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    trained_tokens_per_second: float = 0.0

    @property
    def tokens_per_second(self) -> float:
        """The current training throughput, or the mean generation throughput since the shard started."""
        if self.trained_tokens_per_second:
            return self.trained_tokens_per_second
        return self.completion_tokens / self.seconds if self.seconds > 0 else 0.0


Listener = Callable[[Progress], None]


class Throttle:
    """Rate limiter: allows an action at most once per interval."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self._next = seconds, 0.0

    def ready(self) -> bool:
        """Whether the interval has passed since this last returned True."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + self.seconds
        return True
