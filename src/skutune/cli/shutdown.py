"""Terminates a worker whose main thread cannot do it: on a stall, on an ignored signal, or when the parent has died.

While the main thread hangs in native code, Python runs no signal handlers. In each case a background thread logs the
error and exits the process; the error is the last line of the log, which becomes the pod's termination message.
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
"""Time for a graceful shutdown after SIGTERM; by default, pods are killed after 30 s."""


@contextmanager
def exit_on_stall(stall_seconds: float, grace_seconds: float = GRACE_SECONDS) -> Iterator[None]:
    """During the block, exit with 75 after this long without progress (0 disables it), and with 143 after a signal.

    On SIGTERM and SIGINT the main thread shuts down gracefully; after `grace_seconds` the process is terminated.
    """

    def on_stall() -> NoReturn:
        faulthandler.dump_traceback(file=2, all_threads=True)
        _exit(
            RetryableError(
                f"no progress for {stall_seconds:g} s ({STARTUP_FACTOR} times that while a model is loaded); the log "
                "contains the stack of each thread. A retry resumes from the completed work"
            )
        )

    with watched(stall_seconds, on_stall), _exit_after_signal(grace_seconds):
        yield


def exit_with_parent() -> None:
    """Exit when the parent does, which closes stdin."""
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> NoReturn:
    while os.read(sys.stdin.fileno(), 1024):  # unbuffered, because a buffer lock would be held at interpreter shutdown
        pass
    os._exit(StoppedError.exit_code)


@contextmanager
def _exit_after_signal(grace_seconds: float) -> Iterator[None]:
    """CPython writes the signal number to the wakeup pipe immediately, even if the main thread hangs."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    threading.Thread(target=_wait_for_signal, args=(read, grace_seconds), name="signals", daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(write)  # stops the thread


def _wait_for_signal(read: int, grace_seconds: float) -> None:
    while number := os.read(read, 1):
        if number[0] in (signal.SIGTERM, signal.SIGINT):
            threading.Event().wait(grace_seconds)
            _exit(
                StoppedError("stopped by a signal while it hung; completed work is kept, and a retry resumes from it")
            )
    os.close(read)


def _exit(error: SkutuneError) -> NoReturn:
    with suppress(OSError):  # stderr may be closed
        os.write(2, f"{format_error(error)}\n".encode())  # bypasses the stream lock, which the hanging thread may hold
    os._exit(error.exit_code)
