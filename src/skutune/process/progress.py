"""What a running stage says of itself: to a person, to a log, to the store."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one shard of a stage is, in `unit`s. `total` is an estimate; 0 where it is not known.

    `trained_per_second` are tokens, of a stage that trains.
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
    trained_per_second: float = 0.0

    @property
    def tokens_per_second(self) -> float:
        """Trained tokens per second now, or generated ones since the shard started."""
        if self.trained_per_second:
            return self.trained_per_second
        return self.completion_tokens / self.seconds if self.seconds > 0 else 0.0


Listener = Callable[[Progress], None]


class Throttle:
    """Lets something happen at most once an interval."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self._next = seconds, 0.0

    def ready(self) -> bool:
        """Whether the interval has passed since this last said yes."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + self.seconds
        return True
