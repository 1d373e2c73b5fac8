"""Locates a model's weights and identifies them.

A model is a local folder, an `s3://` prefix or a hub name. Each resolves to a local folder and an identity that depends
on the content, not on the location: the same weights have the same identity on every machine.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from skutune.config import model_name
from skutune.config.schema import ModelConfig
from skutune.engines.weights import hub
from skutune.engines.weights.folders import atomic_folder
from skutune.engines.weights.mirror import IDENTITY_FILE
from skutune.errors import InputError
from skutune.hashing import content_key, file_digest
from skutune.process.watchdog import heartbeat
from skutune.store import ObjectInfo, ObjectStore, open_store

_SENTENCE_MODULES = "modules.json"
_TOKENIZER_SUFFIXES = (".json", ".jinja", ".txt", ".model")
SCRIPTED_IDENTITY = "scripted"
"""The identity of a scripted model."""


@dataclass(frozen=True, slots=True)
class Weights:
    """A model's local folder (None for a scripted model) and its identity in keys and fingerprints."""

    path: Path | None
    identity: str


@dataclass(frozen=True, slots=True)
class Located:
    """The identity of a model and whether it is a sentence encoder, determined without a local copy."""

    identity: str
    is_sentence: bool


def resolve(model: ModelConfig, cache: Path) -> Weights:
    """Locate a model, downloading it if necessary: from a store to `cache`, from the hub to the hub's cache.

    A folder or prefix is identified by the digest of its files, which is remembered in `cache`; a hub model is
    identified by its name and commit, even if it was mirrored to a folder or prefix.

    Raises:
        InputError: the model does not exist, is not accessible, or has no config.json.
        RetryableError: a transient failure of the store, the hub or the disk.
    """
    if model_name.is_scripted(model):
        return Weights(None, SCRIPTED_IDENTITY)
    if model_name.is_prefix(model.name):
        folder = _download_prefix(model.name, cache)
        return Weights(folder, _folder_identity(folder, cache))
    if model_name.is_folder(model.name):
        folder = _check_folder(Path(model.name).expanduser(), model.name)
        return Weights(folder, _folder_identity(folder, cache))
    return _from_hub(model)


def locate(model: ModelConfig, scratch: Path) -> Located:
    """The identity of a folder or prefix as of `resolve`; a prefix needs disk space for its largest file only.

    Raises:
        InputError, RetryableError: as `resolve`.
    """
    if model_name.is_scripted(model):
        return Located(SCRIPTED_IDENTITY, False)
    if model_name.is_prefix(model.name):
        store = open_store(model.name)
        listing = _listing(store)
        identity = _recorded_identity(store, listing) or _prefix_identity(store, listing, scratch)
        return Located(identity, _SENTENCE_MODULES in [item.key for item in listing])
    folder = _check_folder(Path(model.name).expanduser(), model.name)
    return Located(_folder_identity(folder, scratch), is_sentence_encoder(folder))


def tokenizer_folder(model: ModelConfig, cache: Path) -> Path | None:
    """The folder of a model's tokenizer and config, without downloading its weights.

    None for a hub model (a run resolves it before generating), for a missing folder, and without a model.

    Raises:
        InputError, RetryableError: as `resolve`.
    """
    if model_name.is_scripted(model) or model_name.is_hub(model.name):  # includes the name none
        return None
    if model_name.is_folder(model.name):
        folder = Path(model.name).expanduser()
        return folder if folder.is_dir() else None
    store = open_store(model.name)
    files = [item for item in _listing(store) if "/" not in item.key and item.key.endswith(_TOKENIZER_SUFFIXES)]
    folder = cache / "tokenizers" / content_key([store.uri, *([item.key, item.size, item.version] for item in files)])
    if not folder.is_dir():
        with atomic_folder(folder, "tokenizer") as temporary:
            temporary.mkdir()
            for item in files:
                store.get_file(item.key, temporary / item.key)
    return folder


def is_sentence_encoder(folder: Path) -> bool:
    """Whether a folder was saved by sentence-transformers, which lists the encoder's modules in a file."""
    return (folder / _SENTENCE_MODULES).is_file()


def _check_folder(folder: Path, name: str) -> Path:
    if not folder.is_dir():
        raise InputError(f"model {name}: no such folder")
    if not (folder / "config.json").is_file():
        raise InputError(f"model {name}: has no config.json; use a folder written by save_pretrained")
    return folder


def _folder_identity(folder: Path, cache: Path) -> str:
    """The identity that a mirror recorded, or the digest of a folder's files.

    The digest is remembered by the paths, sizes and modification times of the files, so that they are read once.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not _is_hidden(path.relative_to(folder)))
    names = {path.relative_to(folder).as_posix(): path for path in files}
    if IDENTITY_FILE in names:
        sizes = {name: path.stat().st_size for name, path in names.items()}
        return _parse_identity(names[IDENTITY_FILE].read_bytes(), sizes, str(folder))
    stats = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    remembered = cache / "identities" / f"{content_key(stats)}.txt"
    if remembered.is_file():
        return remembered.read_text(encoding="ascii")
    identity = _digest_identity({name: file_digest(path) for name, path in names.items()})
    _write_atomically(remembered, identity)
    return identity


def _prefix_identity(store: ObjectStore, listing: Sequence[ObjectInfo], scratch: Path) -> str:
    """The identity that `_folder_identity` would return for a local copy, computed one file at a time."""
    contents = {}
    for item in listing:
        if not _is_hidden(Path(item.key)):
            path = scratch / "weights" / item.key
            store.get_file(item.key, path)
            contents[item.key] = file_digest(path)
            path.unlink()
    return _digest_identity(contents)


def _digest_identity(contents: Mapping[str, str]) -> str:
    return f"sha256:{content_key(dict(contents))}"


def _recorded_identity(store: ObjectStore, listing: Sequence[ObjectInfo]) -> str | None:
    sizes = {item.key: item.size for item in listing}
    return _parse_identity(store.get(IDENTITY_FILE), sizes, store.uri) if IDENTITY_FILE in sizes else None


def _parse_identity(content: bytes, sizes: Mapping[str, int], where: str) -> str:
    """The identity that a mirror recorded. Raises InputError if the mirror is no longer complete."""
    document = json.loads(content)
    damaged = [name for name, size in document["files"].items() if sizes.get(name) != size]
    if damaged:
        raise InputError(
            f"model {where}: its mirror is corrupt: {', '.join(damaged[:3])} is missing or has another size; start "
            "a run with another name, which copies missing files from the hub"
        )
    return str(document["identity"])


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") or part == "__pycache__" for part in path.parts)


def _write_atomically(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="ascii") as file:
        file.write(text)
    os.replace(file.name, path)


def _download_prefix(uri: str, cache: Path) -> Path:
    """Download the objects under a prefix, once for each state of the prefix.

    The state includes object versions, because retrained weights have the same keys and sizes.
    """
    store = open_store(uri)
    listing = _listing(store)
    state = [(item.key, item.size, item.version) for item in listing]
    folder = cache / "models" / f"s3-{content_key([uri, state])}"
    if folder.is_dir():
        return folder
    with atomic_folder(folder, "downloading") as temporary:
        for item in listing:
            store.get_file(item.key, temporary / item.key)
            heartbeat()
    return folder


def _listing(store: ObjectStore) -> list[ObjectInfo]:
    listing = [item for item in store.list() if not item.key.endswith("/")]
    if not any(item.key == "config.json" for item in listing):
        raise InputError(f"model {store.uri}: has no config.json; use the prefix that directly contains it")
    return listing


def _from_hub(model: ModelConfig) -> Weights:
    folder = hub.download(model)
    _check_folder(folder, model.name)
    # The folder of a snapshot is named by its commit.
    return Weights(folder, hub.identity(model.name, folder.name))
