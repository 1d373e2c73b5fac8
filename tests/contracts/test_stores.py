"""The contract of every store, tested on a local folder and on two independent S3 servers."""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from servers import S3Server

from skutune.errors import InputError
from skutune.store import NotFoundError, ObjectStore, check_writable, open_store

MEBIBYTE = 1 << 20
INVALID_KEYS = [
    *("", "/absolute", "a//b", "a/", "../outside", "a/../../b", "a/./b"),
    *("line\nbreak", "nul\0", "\ud800", "x" * 256, "x/" * 600 + "x", "a/.put-0123/b"),
]


@dataclass(frozen=True)
class Backend:
    """A store URI and the kind of its backend."""

    name: str
    uri: str


@pytest.fixture(params=["local", "seaweedfs", "rclone"])
def backend(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Backend:
    if request.param == "local":
        return Backend("local", str(tmp_path / "store"))
    server: S3Server = request.getfixturevalue(request.param)
    server.set_environment(monkeypatch)
    return Backend(request.param, f"s3://{server.bucket}/{uuid.uuid4().hex}")


@pytest.fixture
def store(backend: Backend) -> ObjectStore:
    return open_store(backend.uri)


def keys(store: ObjectStore, prefix: str = "") -> list[str]:
    return [found.key for found in store.list(prefix)]


def sizes(store: ObjectStore) -> dict[str, int]:
    return {found.key: found.size for found in store.list()}


def size(store: ObjectStore, key: str) -> int | None:
    found = store.head(key)
    assert found is None or found.key == key
    return found and found.size


def test_get_returns_what_was_put(store: ObjectStore) -> None:
    data = bytes(range(256)) * 40
    store.put("run/stage/part-00000.parquet", data)
    assert store.get("run/stage/part-00000.parquet") == data
    assert size(store, "run/stage/part-00000.parquet") == len(data)


def test_a_put_replaces_the_whole_object(store: ObjectStore) -> None:
    store.put("status.json", b"a much longer first version")
    store.put("status.json", b"short")
    assert store.get("status.json") == b"short"
    assert sizes(store) == {"status.json": 5}


def test_an_object_may_be_empty(store: ObjectStore, tmp_path: Path) -> None:
    store.put("empty", b"")
    store.get_file("empty", tmp_path / "copy")
    assert store.get("empty") == b""
    assert size(store, "empty") == 0
    assert sizes(store) == {"empty": 0}
    assert (tmp_path / "copy").read_bytes() == b""


def test_a_multipart_object_round_trips_through_files(store: ObjectStore, tmp_path: Path) -> None:
    block = os.urandom(MEBIBYTE)
    source, copy = tmp_path / "source", tmp_path / "new" / "folder" / "copy"
    with open(source, "wb") as file:
        for number in range(20):
            file.write(bytes([number]) + block[1:])
    store.put_file("weights/model.safetensors", source)
    store.get_file("weights/model.safetensors", copy)
    assert size(store, "weights/model.safetensors") == 20 * MEBIBYTE
    assert _digest(copy) == _digest(source)
    assert hashlib.sha256(store.get("weights/model.safetensors")).hexdigest() == _digest(source)


def test_a_download_replaces_the_file_and_leaves_no_temporary_files(store: ObjectStore, tmp_path: Path) -> None:
    folder = tmp_path / "downloads"
    store.put("a", b"new")
    folder.mkdir()
    (folder / "copy").write_bytes(b"an older and longer version")
    store.get_file("a", folder / "copy")
    assert [(path.name, path.read_bytes()) for path in folder.iterdir()] == [("copy", b"new")]


@pytest.mark.parametrize(
    "key",
    [
        "with space/and two  spaces.json",
        "unicode/crème brûlée – 日本語 🥖.txt",
        "plus+plus/a+b=c&d;e,f@g.txt",
        "percent/100%/%20/%2F.txt",
        'quotes/it\'s "so" (they) [say] {here}!#$~^`|<>.txt',
        "dots/.hidden/..two/three...",
    ],
)
def test_unusual_keys_round_trip(store: ObjectStore, key: str) -> None:
    store.put(key, key.encode())
    assert store.get(key) == key.encode()
    assert keys(store) == [key]
    assert keys(store, key[:-1]) == [key]
    assert size(store, key) == len(key.encode())
    store.delete(key)
    assert keys(store) == []


def test_keys_that_any_store_could_reject_are_rejected_by_all(store: ObjectStore) -> None:
    for key in INVALID_KEYS:
        for operation in (store.get, store.head, store.delete, lambda key: store.put(key, b"")):
            with pytest.raises(InputError, match="store key"):
                operation(key)
    assert keys(store) == []


def test_a_listing_prefix_cannot_escape_the_store(store: ObjectStore) -> None:
    for prefix in ("../", "/etc/", "a/../../"):
        with pytest.raises(InputError, match="store key"):
            store.list(prefix)


def test_a_listing_accepts_any_string_prefix(store: ObjectStore) -> None:
    for key in ("part/a", "part-1", "part-10", "part", "other"):
        if key != "part":  # S3 allows an object and a folder of the same name; file systems do not
            store.put(key, b".")
    assert keys(store, "part") == ["part-1", "part-10", "part/a"]
    assert keys(store, "part-1") == ["part-1", "part-10"]
    assert keys(store, "part/") == ["part/a"]
    assert keys(store, "part/a") == ["part/a"]
    assert keys(store, "parts") == keys(store, "part/a/b") == keys(store, "nothing/here/") == []


def test_a_listing_is_sorted_by_key_across_folders(store: ObjectStore) -> None:
    names = ["a/z", "a-b", "a.b/c", "a0", "a/b/c", "a/b-c", "B", "b", "é", "z/1", "z/10", "z/2"]
    for name in names:
        store.put(name, b".")
    assert keys(store) == sorted(names)


def test_a_listing_is_complete_beyond_a_thousand_objects(store: ObjectStore) -> None:
    names = sorted(f"{folder}/part-{number:05d}" for number in range(505) for folder in ("embed", "embed-2"))
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda name: store.put(name, b"."), names))
    assert keys(store) == names
    assert keys(store, "embed/") == names_in(names, "embed/")
    assert keys(store, "embed-2/part-001") == names_in(names, "embed-2/part-001")


def names_in(names: list[str], prefix: str) -> list[str]:
    return [name for name in names if name.startswith(prefix)]


def test_replacing_an_object_changes_its_version_even_at_the_same_size(store: ObjectStore) -> None:
    store.put("model.safetensors", b"weights")
    store.put("config.json", b"{}")
    before = {found.key: found for found in store.list()}
    time.sleep(0.02)  # exceeds the mtime resolution of file systems
    store.put("model.safetensors", b"WEIGHTS")
    after = {found.key: found for found in store.list()}
    assert before["model.safetensors"].size == after["model.safetensors"].size
    assert before["model.safetensors"].version != after["model.safetensors"].version
    assert before["config.json"] == after["config.json"]


def test_head_and_list_return_the_same_version(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(17 * MEBIBYTE))  # large enough for a multipart upload
    store.put_file("large", tmp_path / "large")
    store.put("small", b".")
    assert list(store.list()) == [store.head("large"), store.head("small")]
    assert all(found.version for found in store.list())


def test_folders_lists_names_one_level_deep(store: ObjectStore) -> None:
    for key in ("latest", "fall/run.yaml", "fall/embed/0a/part-0", "spring 2/ü/x", "fall-2/run.yaml", "fall.yaml"):
        store.put(key, b".")
    assert list(store.folders()) == ["fall", "fall-2", "spring 2"]
    assert list(store.folders("fall/")) == ["embed"]
    assert list(store.folders("fall/embed/")) == ["0a"]
    assert list(store.folders("spring 2/")) == ["ü"]
    assert list(store.folders("fall/embed/0a/")) == list(store.folders("nothing/here/")) == []


def test_folders_accepts_any_string_prefix_and_returns_full_names(store: ObjectStore) -> None:
    for key in ("fall/a", "fall-2/a", "spring/a", "fall-2/stage-1/b", "fall-2/stage-2/b", "fall-2/other/b"):
        store.put(key, b".")
    assert list(store.folders("fall")) == ["fall", "fall-2"]
    assert list(store.folders("fall-2/stage")) == ["stage-1", "stage-2"]
    with pytest.raises(InputError, match="store key"):
        store.folders("../")


def test_folders_is_complete_beyond_a_thousand(store: ObjectStore) -> None:
    names = [f"run-{number:04d}" for number in range(1005)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda name: store.put(f"{name}/run.yaml", b"."), names))
    assert list(store.folders()) == names


def test_stores_with_sibling_prefixes_are_isolated(backend: Backend) -> None:
    inner, outer, sibling = (
        open_store(backend.uri + "/runs"),
        open_store(backend.uri),
        open_store(backend.uri + "/runs-2"),
    )
    inner.put("a", b"1")
    sibling.put("b", b"2")
    assert keys(inner) == ["a"]
    assert keys(outer) == ["runs-2/b", "runs/a"]
    assert keys(sibling) == ["b"]


def test_a_missing_key_is_not_found(store: ObjectStore, tmp_path: Path) -> None:
    store.put("folder/object", b".")
    for key in ("nothing", "folder", "folder/object/below", "no/folder/here"):
        assert store.head(key) is None
        with pytest.raises(NotFoundError, match=key):
            store.get(key)
        with pytest.raises(NotFoundError, match=key):
            store.get_file(key, tmp_path / "downloads" / "copy")
    for key in ("nothing", "folder/nothing", "no/folder/here"):
        store.delete(key)
    assert keys(store) == ["folder/object"]
    assert not list(tmp_path.glob("downloads/*"))


def test_a_deleted_key_can_be_reused_as_another_object_or_folder(store: ObjectStore) -> None:
    store.put("a/b/c", b".")
    store.delete("a/b/c")
    store.delete("a/b/c")
    assert store.head("a/b/c") is None
    store.put("a", b"now an object itself")
    assert keys(store) == ["a"]


def test_readers_see_a_complete_version_while_writers_race(backend: Backend, store: ObjectStore) -> None:
    versions = {bytes([number]) * 200_000 for number in range(4)}
    store.put("latest", min(versions))
    reads: set[bytes | None] = set()
    with ThreadPoolExecutor(4) as threads:
        writers = [threads.submit(_put_often, store, version) for version in versions]
        while not all(writer.done() for writer in writers):
            reads.add(_get_or_none(store, "latest"))
        for writer in writers:
            writer.result()
    # rclone may briefly return no object while it replaces one, but never a partial one.
    assert reads <= (versions | {None} if backend.name == "rclone" else versions)
    assert store.get("latest") in versions
    assert keys(store) == ["latest"]


def test_concurrent_puts_and_deletes_in_one_folder_succeed(store: ObjectStore) -> None:
    def churn(name: str) -> None:
        for _ in range(20):
            store.put(f"shared/folder/{name}", b".")
            store.delete(f"shared/folder/{name}")

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(churn, "1234"))
    assert keys(store) == []


def test_the_write_check_leaves_the_store_unchanged(store: ObjectStore) -> None:
    store.put("a", b".")
    check_writable(store)
    assert keys(store) == ["a"]


def test_concurrent_write_checks_succeed(backend: Backend) -> None:
    def start(_: int) -> None:
        for _ in range(5):
            check_writable(open_store(backend.uri))

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(start, range(4)))
    assert keys(open_store(backend.uri)) == []


def test_the_uri_of_a_store_opens_the_same_store(backend: Backend) -> None:
    open_store(backend.uri).put("a", b".")
    assert keys(open_store(open_store(backend.uri).uri + "/")) == ["a"]


def _put_often(store: ObjectStore, version: bytes) -> None:
    for _ in range(10):
        store.put("latest", version)


def _get_or_none(store: ObjectStore, key: str) -> bytes | None:
    try:
        return store.get(key)
    except NotFoundError:
        return None


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
