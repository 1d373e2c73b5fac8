"""Locates a model's weights and identifies them.

A model is a local folder, an `s3://` prefix or a hub name. All end as a local folder, with an identity that says what
is in it and never where it lies: the same weights give the same identity on every machine.
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

_SENTENCE = "modules.json"
_TOKENIZER_SUFFIXES = (".json", ".jinja", ".txt", ".model")
SCRIPTED_IDENTITY = "scripted"
"""The identity where no model is used."""


@dataclass(frozen=True, slots=True)
class Weights:
    """A model's folder (None where there is no model) and the identity that keys and fingerprints take."""

    path: Path | None
    identity: str


@dataclass(frozen=True, slots=True)
class Located:
    """Which weights a model is, and whether they are a sentence encoder's; known without having them here."""

    identity: str
    is_sentence: bool


def resolve(model: ModelConfig, cache: Path) -> Weights:
    """Find a model, and download it where it is not local: from a store into `cache`, from the hub into its own cache.

    A folder or prefix is identified by the digest of its files, which `cache` remembers; a hub model by its name and
    commit, also where it was mirrored into a folder or prefix.

    Raises:
        InputError: there is no such model, it is not open to this user, or its folder holds no config.json.
        RetryableError: the store, the hub or the disk failed for now.
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
    """The identity that `resolve` would give for a folder or prefix; needs disk for the largest file of a prefix only.

    Raises:
        InputError, RetryableError: as `resolve`.
    """
    if model_name.is_scripted(model):
        return Located(SCRIPTED_IDENTITY, False)
    if model_name.is_prefix(model.name):
        store = open_store(model.name)
        listing = _listing(store)
        identity = _noted(store, listing) or _prefix_identity(store, listing, scratch)
        return Located(identity, _SENTENCE in [item.key for item in listing])
    folder = _check_folder(Path(model.name).expanduser(), model.name)
    return Located(_folder_identity(folder, scratch), is_sentence_encoder(folder))


def tokenizer_folder(model: ModelConfig, cache: Path) -> Path | None:
    """A folder with a model's tokenizer and config, without downloading its weights.

    None for a hub model, which a run resolves before it generates, for a folder that does not exist, and without a
    model.

    Raises:
        InputError, RetryableError: as `resolve`.
    """
    if model_name.is_scripted(model) or model_name.is_hub(model.name):  # includes the name none
        return None
    if model_name.is_folder(model.name):
        folder = Path(model.name).expanduser()
        return folder if folder.is_dir() else None
    store = open_store(model.name)
    small = [item for item in _listing(store) if "/" not in item.key and item.key.endswith(_TOKENIZER_SUFFIXES)]
    folder = cache / "tokenizers" / content_key([store.uri, *([item.key, item.size, item.version] for item in small)])
    if not folder.is_dir():
        with atomic_folder(folder, "tokenizer") as temporary:
            temporary.mkdir()
            for item in small:
                store.get_file(item.key, temporary / item.key)
    return folder


def is_sentence_encoder(folder: Path) -> bool:
    """Whether a folder is one of sentence-transformers, which writes the encoder's modules beside the weights."""
    return (folder / _SENTENCE).is_file()


def _check_folder(folder: Path, name: str) -> Path:
    if not folder.is_dir():
        raise InputError(f"model {name}: no such folder")
    if not (folder / "config.json").is_file():
        raise InputError(f"model {name}: has no config.json; give a folder that save_pretrained wrote")
    return folder


def _folder_identity(folder: Path, cache: Path) -> str:
    """The identity that a mirror noted, or the digest of a folder's files.

    The digest is remembered by the files' paths, sizes and times, so that they are read once.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not _is_hidden(path.relative_to(folder)))
    names = {path.relative_to(folder).as_posix(): path for path in files}
    if IDENTITY_FILE in names:
        sizes = {name: path.stat().st_size for name, path in names.items()}
        return _identity_of(names[IDENTITY_FILE].read_bytes(), sizes, str(folder))
    stats = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    remembered = cache / "identities" / f"{content_key(stats)}.txt"
    if remembered.is_file():
        return remembered.read_text(encoding="ascii")
    identity = _digest_identity({name: file_digest(path) for name, path in names.items()})
    _write_whole(remembered, identity)
    return identity


def _prefix_identity(store: ObjectStore, listing: Sequence[ObjectInfo], scratch: Path) -> str:
    """The identity of a prefix as `_folder_identity` gives it for its copy, one file after the other."""
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


def _noted(store: ObjectStore, listing: Sequence[ObjectInfo]) -> str | None:
    sizes = {item.key: item.size for item in listing}
    return _identity_of(store.get(IDENTITY_FILE), sizes, store.uri) if IDENTITY_FILE in sizes else None


def _identity_of(noted: bytes, sizes: Mapping[str, int], where: str) -> str:
    """The identity that a mirror noted. Raises InputError where the mirror is not whole any more."""
    document = json.loads(noted)
    damaged = [name for name, size in document["files"].items() if sizes.get(name) != size]
    if damaged:
        raise InputError(
            f"model {where}: its mirror is corrupt: {', '.join(damaged[:3])} is missing or has another size; start a "
            "run of another name, which copies from the hub again what is missing"
        )
    return str(document["identity"])


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") or part == "__pycache__" for part in path.parts)


def _write_whole(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="ascii") as file:
        file.write(text)
    os.replace(file.name, path)


def _download_prefix(uri: str, cache: Path) -> Path:
    """The objects under a prefix as a folder, downloaded once for each state of the prefix.

    Keys, sizes and versions make a state: weights that were trained again have the same keys and sizes as before.
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
        raise InputError(f"model {store.uri}: holds no config.json; name the prefix that lies directly above it")
    return listing


def _from_hub(model: ModelConfig) -> Weights:
    folder = hub.download(model)
    _check_folder(folder, model.name)
    # A snapshot's folder is named by its commit.
    return Weights(folder, hub.identity(model.name, folder.name))
