"""Where a model's weights are, and which weights they are.

A model is a local folder, an `s3://` prefix or a hub name. All end as a local folder, with an identity that says what
is in it and never where it lies: the same weights give the same identity on every machine.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from skutune.config import ModelConfig
from skutune.engines import hub
from skutune.engines.folders import made_whole
from skutune.errors import InputError
from skutune.hashing import content_key

SCRIPTED_IDENTITY = "scripted"
"""The identity where no model is used."""


@dataclass(frozen=True, slots=True)
class Weights:
    """A model's folder (None where there is no model) and the identity that keys and fingerprints take."""

    path: Path | None
    identity: str


def resolve(model: ModelConfig, cache: Path) -> Weights:
    """Find a model, and download it where it is not local: from a store into `cache`, from the hub into its own cache.

    A folder or prefix is identified by the digest of its files, which `cache` remembers; a hub model by its name and
    commit.

    Raises:
        InputError: there is no such model, it is not open to this user, or its folder holds no config.json.
        RetryableError: the store, the hub or the disk failed for now.
    """
    if getattr(model, "engine", None) == "scripted":
        return Weights(None, SCRIPTED_IDENTITY)
    if model.name.startswith("s3://"):
        folder = _download_prefix(model.name, cache)
        return Weights(folder, _folder_identity(folder, cache))
    if model.name.startswith((".", "/", "~")):
        folder = _check_folder(Path(model.name).expanduser(), model.name)
        return Weights(folder, _folder_identity(folder, cache))
    return _from_hub(model)


def _check_folder(folder: Path, name: str) -> Path:
    if not folder.is_dir():
        raise InputError(f"model {name}: no such folder")
    if not (folder / "config.json").is_file():
        raise InputError(f"model {name}: holds no config.json; name the folder that save_pretrained wrote")
    return folder


def _folder_identity(folder: Path, cache: Path) -> str:
    """The digest of a folder's files; remembered by their paths, sizes and times, so that it is read once."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not _is_hidden(path.relative_to(folder)))
    stats = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    remembered = cache / "identities" / f"{content_key(stats)}.txt"
    if remembered.is_file():
        return remembered.read_text(encoding="ascii")
    contents = {path.relative_to(folder).as_posix(): _file_digest(path) for path in files}
    identity = f"sha256:{content_key(contents)}"
    _write_whole(remembered, identity)
    return identity


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") or part == "__pycache__" for part in path.parts)


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_whole(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="ascii") as file:
        file.write(text)
    os.replace(file.name, path)


def _download_prefix(uri: str, cache: Path) -> Path:
    """The objects under a prefix as a folder, downloaded once for each state of the prefix.

    Keys, sizes and versions make a state: weights that were trained again have the same keys and sizes as before.
    """
    from skutune.store import open_store

    store = open_store(uri)
    listing = [(item.key, item.size, item.version) for item in store.list() if not item.key.endswith("/")]
    if not any(key == "config.json" for key, _, _ in listing):
        raise InputError(f"model {uri}: holds no config.json; name the prefix that lies directly above it")
    folder = cache / "models" / f"s3-{content_key([uri, listing])}"
    if folder.is_dir():
        return folder
    with made_whole(folder, "downloading") as made:
        for key, _, _ in listing:
            store.get_file(key, made / key)
    return folder


def _from_hub(model: ModelConfig) -> Weights:
    folder = hub.download(model)
    _check_folder(folder, model.name)
    # A snapshot's folder is named by its commit.
    return Weights(folder, f"{model.name}@{folder.name}")
