"""Mirrors a hub model to the store, so that one pod needs the hub and its token, and all others only the store.

Files are copied one at a time and removed locally, so the copy needs as much disk space as the model's largest file.
Files of the pinned commit that already exist with the right size are skipped, so an interrupted mirror resumes.
`skutune-model.json` is written last: it marks the mirror as complete and records the model's identity.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from skutune.config.schema import ModelConfig
from skutune.engines.weights import hub
from skutune.process.watchdog import extended, heartbeat
from skutune.store.base import ObjectStore

IDENTITY_FILE = "skutune-model.json"
_POLL_SECONDS = 2.0


def mirror(model: ModelConfig, store: ObjectStore, scratch: Path, report: Callable[[float, float], None]) -> str:
    """Copy a hub model of a pinned commit to the store and return its key prefix.

    Args:
        scratch: an empty folder with space for the model's largest file.
        report: called with the copied MiB and the total MiB.

    Raises:
        InputError: the model or commit does not exist or is not accessible, or the model has no config.json.
        RetryableError: a transient failure of the hub, the store or the disk.
    """
    prefix = f"models/{model.name.replace('/', '--')}/{model.revision}"
    existing = {info.key.removeprefix(f"{prefix}/"): info.size for info in store.list(f"{prefix}/")}
    files = _recorded_files(store, prefix) if IDENTITY_FILE in existing else hub.files(model)
    total, missing = sum(files.values()), {name for name, size in files.items() if existing.get(name) != size}
    done = total - sum(files[name] for name in missing)
    for name in sorted(missing):
        report(done / 2**20, total / 2**20)
        with extended(), _heartbeat_on_growth(scratch):
            path = hub.fetch(model, name, scratch)
        store.put_file(f"{prefix}/{name}", path)
        path.unlink()
        done += files[name]
    if IDENTITY_FILE not in existing:
        identity = {"identity": hub.identity(model.name, str(model.revision)), "files": files}
        store.put(f"{prefix}/{IDENTITY_FILE}", json.dumps(identity, indent=1).encode())
    return prefix


def _recorded_files(store: ObjectStore, prefix: str) -> dict[str, int]:
    """The files of a complete mirror, with their sizes in bytes."""
    files: dict[str, int] = json.loads(store.get(f"{prefix}/{IDENTITY_FILE}"))["files"]
    return files


@contextmanager
def _heartbeat_on_growth(folder: Path) -> Iterator[None]:
    """Send a heartbeat whenever the size of the folder changes, because the hub client does not report progress."""
    done = threading.Event()

    def watch() -> None:
        previous = 0
        while not done.wait(_POLL_SECONDS):
            size = sum(path.lstat().st_blocks for path in list(folder.rglob("*")) if path.exists())
            if size != previous:
                heartbeat()
            previous = size

    thread = threading.Thread(target=watch, name="download", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
