"""Models are located by name and identified by content."""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path

import pytest
from servers import S3Server

from skutune.config.schema import EncoderConfig, GeneratorConfig, ModelConfig
from skutune.engines.weights.locate import SCRIPTED_IDENTITY, resolve
from skutune.errors import InputError
from skutune.store import open_store


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "1_Pooling").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "1_Pooling" / "config.json").write_text('{"pooling": "mean"}')
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def identity(folder: Path, cache: Path) -> str:
    return resolve(ModelConfig(name=str(folder)), cache).identity


def test_the_identity_of_a_folder_depends_on_its_content_only(model: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / "copy"
    shutil.copytree(model, moved)
    assert identity(model, tmp_path / "cache") == identity(moved, tmp_path / "other cache")


@pytest.mark.parametrize("file", ["model.safetensors", "1_Pooling/config.json"])
def test_a_changed_file_changes_the_identity(model: Path, tmp_path: Path, file: str) -> None:
    before = identity(model, tmp_path / "cache")
    (model / file).write_bytes(b"changed")
    assert identity(model, tmp_path / "cache") != before


def test_files_are_hashed_once(model: Path, tmp_path: Path) -> None:
    before = identity(model, tmp_path / "cache")
    weights = model / "model.safetensors"
    stat = weights.stat()
    weights.write_bytes(b"WEIGHTS")  # same size and, below, same time
    os.utime(weights, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert identity(model, tmp_path / "cache") == before
    assert identity(model, tmp_path / "fresh cache") != before


@pytest.fixture
def prefix(seaweedfs: S3Server, model: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The model under a prefix of an S3 bucket."""
    seaweedfs.set_environment(monkeypatch)
    uri = f"s3://{seaweedfs.bucket}/{uuid.uuid4().hex}/small"
    store = open_store(uri)
    for path in model.rglob("*"):
        if path.is_file():
            store.put_file(path.relative_to(model).as_posix(), path)
    return uri


def test_a_prefix_has_the_identity_of_the_folder(prefix: str, model: Path, tmp_path: Path) -> None:
    weights = resolve(ModelConfig(name=prefix), tmp_path / "cache")
    assert weights.identity == identity(model, tmp_path / "cache")
    assert weights.path is not None
    assert (weights.path / "1_Pooling" / "config.json").read_text() == '{"pooling": "mean"}'


def test_a_prefix_is_downloaded_once(prefix: str, tmp_path: Path) -> None:
    first = resolve(ModelConfig(name=prefix), tmp_path).path
    assert first is not None
    (first / "mark").touch()
    assert resolve(ModelConfig(name=prefix), tmp_path).path == first
    assert (first / "mark").exists()
    assert [path.name for path in (tmp_path / "models").iterdir()] == [first.name]


def test_retrained_weights_with_the_same_keys_and_sizes_change_the_identity(prefix: str, tmp_path: Path) -> None:
    before = resolve(ModelConfig(name=prefix), tmp_path)
    open_store(prefix).put("model.safetensors", b"WEIGHTS")
    after = resolve(ModelConfig(name=prefix), tmp_path)
    assert after.identity != before.identity
    assert after.path is not None
    assert (after.path / "model.safetensors").read_bytes() == b"WEIGHTS"


def test_a_prefix_without_a_model_raises(prefix: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config\.json"):
        resolve(ModelConfig(name=prefix + "er"), tmp_path)


@pytest.mark.parametrize("name", ["/no/such/folder", "./missing"])
def test_a_missing_folder_is_an_input_error(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        resolve(ModelConfig(name=name), tmp_path)


def test_a_folder_without_a_config_raises(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config\.json"):
        resolve(ModelConfig(name=str(tmp_path)), tmp_path / "cache")


def test_a_name_that_is_neither_path_nor_hub_name_raises(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither a folder"):
        resolve(ModelConfig(name="what is this/ model?"), tmp_path)


@pytest.mark.parametrize("config", [GeneratorConfig, EncoderConfig])
def test_a_scripted_model_needs_no_weights(config: type, tmp_path: Path) -> None:
    weights = resolve(config(name="anything", engine="scripted"), tmp_path)
    assert weights.path is None
    assert weights.identity == SCRIPTED_IDENTITY
