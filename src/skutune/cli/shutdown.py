"""How a worker ends that cannot end by itself.

Its parent is gone; nothing gets on any more; or it was told to stop while its main thread hangs in a library's code,
where Python runs no signal's handler. In each case a thread of its own ends the process, and says first what it ends
with: the last line of a pod's log is all that its cluster keeps.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

from skutune.cli.console import format_error
from skutune.errors import RetryableError, SkutuneError, StoppedError
from skutune.process.watchdog import STARTUP_FACTOR, watched

GRACE_SECONDS = 10.0
"""How long an orderly end may take after SIGTERM; a pod is killed after 30 s unless it is told otherwise."""


@contextmanager
def exit_on_stall(stall_seconds: float, grace_seconds: float = GRACE_SECONDS) -> Iterator[None]:
    """While the block lasts, end with 75 after so long without progress (0: never), and with 143 when told to stop.

    An orderly stop is the main thread's; after `grace_seconds` this thread's.
    """

    def stalled() -> NoReturn:
        faulthandler.dump_traceback(file=2, all_threads=True)
        _end(
            RetryableError(
                f"no progress for {stall_seconds:g} s ({STARTUP_FACTOR} times that while a model is loaded): something "
                "hangs; the log shows where each thread was. Another try goes on from what is done"
            )
        )

    with watched(stall_seconds, stalled), _ended_when_told(grace_seconds):
        yield


def end_with_parent() -> None:
    """End with the parent, which holds stdin open while it lives."""
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> NoReturn:
    while os.read(sys.stdin.fileno(), 1024):  # unbuffered: a buffer's lock would be held at the interpreter's end
        pass
    os._exit(StoppedError.exit_code)


@contextmanager
def _ended_when_told(grace_seconds: float) -> Iterator[None]:
    """CPython writes a signal's number to a pipe at once, whatever the main thread does."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    threading.Thread(target=_wait_for_signal, args=(read, grace_seconds), name="told", daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(write)  # ends the thread


def _wait_for_signal(read: int, grace_seconds: float) -> None:
    while number := os.read(read, 1):
        if number[0] in (signal.SIGTERM, signal.SIGINT):
            threading.Event().wait(grace_seconds)
            _end(StoppedError("told to stop, and ended where it hung; what is done stays; another try goes on from it"))
    os.close(read)


def _end(error: SkutuneError) -> NoReturn:
    with suppress(OSError):  # nobody may be reading any more
        os.write(2, f"{format_error(error)}\n".encode())  # past the stream's lock, which the hanging thread may hold
    os._exit(error.exit_code)
