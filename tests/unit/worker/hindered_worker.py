"""A worker whose engine is hindered: `python hindered_worker.py HINDRANCE RESULTS ASKED <arguments of skutune>`.

After so many results the engine is killed ("die"), sleeps ("sleep"), or hangs where no signal's handler runs ("hang").
The ids of all requests are written to the file ASKED.
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
    """Lock a mutex that is locked: C code that waits for ever and goes on waiting after a signal."""
    mutex = ctypes.create_string_buffer(256)
    for _ in range(2):
        ctypes.CDLL(None).pthread_mutex_lock(mutex)


HINDRANCES = {"die": die, "hang": hang, "sleep": lambda: time.sleep(3600), "nothing": lambda: None}


class Hindered:
    """An engine around another one."""

    def __init__(self, engine: Any, hindrance: str, results: int, asked: Path) -> None:
        self.engine, self.hindrance, self.results, self.asked = engine, hindrance, results, asked

    def generate(self, requests: Iterable[Request]) -> Iterator[Result]:
        for result in self.engine.generate(self.noted(requests)):
            if self.results == 0:
                HINDRANCES[self.hindrance]()
            self.results -= 1
            yield result

    def noted(self, requests: Iterable[Request]) -> Iterator[Request]:
        with self.asked.open("a") as file:
            for request in requests:
                file.write(request.id + "\n")
                file.flush()
                yield request


def hindered(hindrance: str, results: int, asked: Path) -> None:
    plain = ModelPool.text_engine

    def text_engine(pool: ModelPool, *which: Any) -> Any:
        return Hindered(plain(pool, *which), hindrance, results, asked)

    ModelPool.text_engine = text_engine  # type: ignore[method-assign]


if __name__ == "__main__":
    hindered(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
    main(sys.argv[4:])
