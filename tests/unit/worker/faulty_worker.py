"""A worker with fault injection: `python faulty_worker.py FAULT RESULTS REQUEST_LOG <arguments of skutune>`.

After RESULTS results the engine kills the process ("die"), sleeps ("sleep"), or hangs in native code, where no signal
handlers run ("hang"). The ids of all requests are appended to the file REQUEST_LOG.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from skutune.cli import main
from skutune.engines.base import Request, Result
from skutune.engines.pool import ModelPool


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hang() -> None:
    """Deadlock on a mutex: native code that blocks forever and ignores signals."""
    mutex = ctypes.create_string_buffer(256)
    for _ in range(2):
        ctypes.CDLL(None).pthread_mutex_lock(mutex)


FAULTS = {"die": die, "hang": hang, "sleep": lambda: time.sleep(3600), "nothing": lambda: None}


class FaultyEngine:
    """Wraps an engine, logs its requests, and injects a fault."""

    def __init__(self, engine: Any, fault: str, results: int, request_log: Path) -> None:
        self.engine, self.fault, self.results, self.request_log = engine, fault, results, request_log

    def generate(self, requests: Iterable[Request]) -> Iterator[Result]:
        for result in self.engine.generate(self.logged(requests)):
            if self.results == 0:
                FAULTS[self.fault]()
            self.results -= 1
            yield result

    def logged(self, requests: Iterable[Request]) -> Iterator[Request]:
        with self.request_log.open("a") as file:
            for request in requests:
                file.write(request.id + "\n")
                file.flush()
                yield request


def inject_fault(fault: str, results: int, request_log: Path) -> None:
    original = ModelPool.text_engine

    def text_engine(pool: ModelPool, *which: Any) -> Any:
        return FaultyEngine(original(pool, *which), fault, results, request_log)

    ModelPool.text_engine = text_engine  # type: ignore[method-assign]


if __name__ == "__main__":
    inject_fault(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
    main(sys.argv[4:])
