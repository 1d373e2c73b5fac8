"""A process-wide watchdog: code that makes progress sends heartbeats, and a thread detects stalls.

A hang (in a driver, a collective, or a dead subprocess of an engine) raises nothing and may never return, so that only
another thread can detect it. The watchdog is global, so that engines, stores and training loops can send heartbeats
without having it passed to them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

STARTUP_FACTOR = 3
"""Multiplies the stall timeout while heartbeats are impossible: at startup, and while a model is loaded or compiled."""


class Watchdog:
    """Tracks the last heartbeat, and whether the timeout is extended."""

    def __init__(self) -> None:
        self._extended = 0
        self.restart()

    def restart(self) -> None:
        """Reset the timer; the timeout is extended until the first heartbeat."""
        self._last, self._started = time.monotonic(), False

    def heartbeat(self) -> None:
        """Report progress: an item, a token, a training step, a part, transferred bytes."""
        self._last, self._started = time.monotonic(), True

    @contextmanager
    def extended(self) -> Iterator[None]:
        """Extend the timeout for the duration of the block; entering and leaving it are heartbeats."""
        self.heartbeat()
        self._extended += 1
        try:
            yield
        finally:
            self._extended -= 1
            self.heartbeat()

    def idle_seconds(self) -> float:
        """Seconds since the last heartbeat, divided by STARTUP_FACTOR while the timeout is extended."""
        return (time.monotonic() - self._last) / (1 if self._started and not self._extended else STARTUP_FACTOR)


WATCHDOG = Watchdog()
"""The watchdog of this process."""

heartbeat, extended = WATCHDOG.heartbeat, WATCHDOG.extended


@contextmanager
def watched(seconds: float, on_stall: Callable[[], None], watchdog: Watchdog = WATCHDOG) -> Iterator[None]:
    """Call `on_stall` in a separate thread if there is no heartbeat for this long during the block; 0 disables it."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(min(seconds / 10, 5.0)):
            if watchdog.idle_seconds() >= seconds:
                on_stall()
                return

    watchdog.restart()
    thread = threading.Thread(target=watch, name="watchdog", daemon=True)
    if seconds:
        thread.start()
    try:
        yield
    finally:
        done.set()
