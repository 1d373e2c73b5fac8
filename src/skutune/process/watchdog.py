"""The sign of life of this process: beaten by whatever gets on, watched by whoever must end what hangs.

What hangs (a driver, a collective, the dead child of an engine) raises nothing and may never return, so that only
another thread can end it. There is one pulse a process, not one a stage: engines, stores and trainings beat it without
having to be told of it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

STARTUP_FACTOR = 3
"""How much longer may be silent what can tell nothing while it goes on: a start, a model being loaded or compiled."""


class Watchdog:
    """When something got on last, and whether what goes on now may be silent for longer."""

    def __init__(self) -> None:
        self._slow = 0
        self.restart()

    def restart(self) -> None:
        """Count from now, and allow longer silence up to the first beat."""
        self._last, self._begun = time.monotonic(), False

    def heartbeat(self) -> None:
        """Something got on: an item, a token, a training step, a part, some bytes."""
        self._last, self._begun = time.monotonic(), True

    @contextmanager
    def extended(self) -> Iterator[None]:
        """While the block lasts, silence is allowed for longer; its begin and its end are beats."""
        self.heartbeat()
        self._slow += 1
        try:
            yield
        finally:
            self._slow -= 1
            self.heartbeat()

    def idle_seconds(self) -> float:
        """Seconds since the last beat, as if there were fewer of them while it is slow."""
        return (time.monotonic() - self._last) / (1 if self._begun and not self._slow else STARTUP_FACTOR)


WATCHDOG = Watchdog()
"""This process's."""

heartbeat, extended = WATCHDOG.heartbeat, WATCHDOG.extended


@contextmanager
def watched(seconds: float, on_stall: Callable[[], None], pulse: Watchdog = WATCHDOG) -> Iterator[None]:
    """While the block lasts, call `on_stall` in a thread of its own once nothing has got on for so many seconds.

    0: never.
    """
    done = threading.Event()

    def wait() -> None:
        while not done.wait(min(seconds / 10, 5.0)):
            if pulse.idle_seconds() >= seconds:
                on_stall()
                return

    pulse.restart()
    thread = threading.Thread(target=wait, name="watch", daemon=True)
    if seconds:
        thread.start()
    try:
        yield
    finally:
        done.set()
