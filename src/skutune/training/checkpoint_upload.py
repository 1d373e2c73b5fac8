"""Uploads checkpoints to the store while the training continues."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

from skutune.errors import SkutuneError, StopSignal
from skutune.training.checkpoint_store import Checkpoints


class Uploads:
    """One upload at a time, in a background thread; a checkpoint waits for the previous one.

    An upload that failed is raised where the next one begins, and at the end. A training that fails waits for its last
    checkpoint; one that is stopped by a signal does not, because there is little time.

    Args:
        checkpoints: where they go.
        folder: for what is still to be put: links, so that the trainer may remove its own.
    """

    def __init__(self, checkpoints: Checkpoints, folder: Path) -> None:
        self._checkpoints, self._folder = checkpoints, folder
        self._thread: threading.Thread | None = None
        self._error: SkutuneError | OSError | None = None

    def __enter__(self) -> Uploads:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, StopSignal):
            return
        self._wait()

    def finish(self) -> None:
        """Wait for the last upload. Raises its error."""
        self._wait()
        self._check()

    def add(self, checkpoint: Path) -> None:
        """Start uploading a checkpoint. Raises the error of the previous upload."""
        self.finish()
        links = self._folder / checkpoint.name
        shutil.copytree(checkpoint, links, copy_function=os.link)
        self._thread = threading.Thread(target=self._put, args=(links,), name="upload", daemon=True)
        self._thread.start()

    def _put(self, links: Path) -> None:
        try:
            self._checkpoints.save(links, links.name)
        except (SkutuneError, OSError) as error:
            self._error = error
        finally:
            shutil.rmtree(links, ignore_errors=True)

    def _wait(self) -> None:
        if self._thread is not None:
            self._thread.join()

    def _check(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error
