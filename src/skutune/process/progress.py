"""Progress reports of a running stage.

An engine's results come minutes after its first tokens on a slow machine, so engines report tokens as they are
generated. The listener is global, as the watchdog is, so that it need not be passed to engines.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of one shard of a stage, in `unit`s. `total` is an estimate; 0 if unknown.

    Attributes:
        done: completed units; of an LLM stage with a fraction for the texts that are being generated.
        completion_tokens: generated tokens, including those of unfinished texts.
        seconds: since the shard started, in all its processes.
        activity: what the shard waits for, such as the loading of a model; "" while it produces rows.
        seconds_left: an estimate; None if unknown.
        trained_tokens_per_second: set by training stages only.
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
    activity: str = ""
    seconds_left: float | None = None

    @property
    def tokens_per_second(self) -> float:
        """The current training throughput, or the mean generation throughput since the shard started."""
        if self.trained_tokens_per_second:
            return self.trained_tokens_per_second
        return self.completion_tokens / self.seconds if self.seconds > 0 else 0.0


Listener = Callable[[Progress], None]


_token_listeners: list[Callable[[int], None]] = []


def report_tokens(count: int) -> None:
    """Report newly generated tokens; 0 after a pass that read prompts."""
    for listener in _token_listeners:
        listener(count)


@contextmanager
def listening_to_tokens(listener: Callable[[int], None]) -> Iterator[None]:
    """Call the listener for each report of tokens in this process during the block."""
    _token_listeners.append(listener)
    try:
        yield
    finally:
        _token_listeners.remove(listener)


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
