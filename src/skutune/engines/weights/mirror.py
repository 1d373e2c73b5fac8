"""A hub model copied into the store, once, so that one pod needs the hub and its token and all others only the store.

File by file: what is downloaded is put and removed before the next one comes, so that the copy needs as much disk as
the model's largest file. A file of the pinned commit that is there with the hub's size is not copied again: a mirror
that was ended goes on where it was. `skutune-model.json` is written last and says that the model is whole, and under
which identity.
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
_LOOK_SECONDS = 2.0


def mirror(model: ModelConfig, store: ObjectStore, scratch: Path, tell: Callable[[float, float], None]) -> str:
    """Copy a hub model of a pinned commit into the store and return the key prefix where it lies.

    Args:
        scratch: an empty folder, with room for the model's largest file.
        tell: called with the mebibytes that are there and those of the whole model.

    Raises:
        InputError: there is no such model or commit, it is not open to this user, or it holds no config.json.
        RetryableError: hub, store or disk failed for now.
    """
    prefix = f"models/{model.name.replace('/', '--')}/{model.revision}"
    there = {info.key.removeprefix(f"{prefix}/"): info.size for info in store.list(f"{prefix}/")}
    wanted = _noted(store, prefix) if IDENTITY_FILE in there else hub.files(model)
    total, missing = sum(wanted.values()), {name for name, size in wanted.items() if there.get(name) != size}
    done = total - sum(wanted[name] for name in missing)
    for name in sorted(missing):
        tell(done / 2**20, total / 2**20)
        with extended(), _beating(scratch):
            path = hub.fetch(model, name, scratch)
        store.put_file(f"{prefix}/{name}", path)
        path.unlink()
        done += wanted[name]
    if IDENTITY_FILE not in there:
        identity = {"identity": hub.identity(model.name, str(model.revision)), "files": wanted}
        store.put(f"{prefix}/{IDENTITY_FILE}", json.dumps(identity, indent=1).encode())
    return prefix


def _noted(store: ObjectStore, prefix: str) -> dict[str, int]:
    """The files of a model that was mirrored before, with their sizes in bytes."""
    files: dict[str, int] = json.loads(store.get(f"{prefix}/{IDENTITY_FILE}"))["files"]
    return files


@contextmanager
def _beating(folder: Path) -> Iterator[None]:
    """Send a heartbeat whenever the folder has grown: the hub client reports no progress itself."""
    done = threading.Event()

    def look() -> None:
        before = 0
        while not done.wait(_LOOK_SECONDS):
            size = sum(path.lstat().st_blocks for path in list(folder.rglob("*")) if path.exists())
            if size != before:
                heartbeat()
            before = size

    thread = threading.Thread(target=look, name="download", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
