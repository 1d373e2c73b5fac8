"""Runs all controllers in one thread: one pass after every change."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Sequence
from typing import Protocol

from .jobs import JobController
from .store import Store

_PAUSE_SECONDS = 0.005  # between two passes, so that requests get the lock


class Controller(Protocol):
    """A level-based controller: moves the actual state towards the desired state, without relying on events."""

    def sync(self) -> None: ...


class ControllerManager(threading.Thread):
    """Runs the controllers until it is stopped. `jobs` says when a pass is due although nothing changed."""

    def __init__(self, store: Store, jobs: JobController, controllers: Sequence[Controller]):
        super().__init__(daemon=True, name="controllers")
        self.store, self.jobs, self.controllers = store, jobs, controllers
        self._stopping = False

    def run(self) -> None:
        seen = -1
        while not self._stopping:
            with self.store.lock:
                if self.store.version == seen:
                    self.store.lock.wait(self.jobs.next_due())
                seen = self.store.version
                for controller in self.controllers:
                    self._sync(controller)
            time.sleep(_PAUSE_SECONDS)

    def _sync(self, controller: Controller) -> None:
        try:
            controller.sync()
        except Exception:  # noqa: BLE001  a fault of the double: told, and the others go on
            traceback.print_exc()

    def stop(self) -> None:
        self._stopping = True
        with self.store.lock:
            self.store.lock.notify_all()
        self.join(timeout=5)
