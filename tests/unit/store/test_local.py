"""Failure handling of the local store: full disks, missing permissions, killed processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from skutune.errors import InputError
from skutune.store import NotFoundError, check_writable, open_store

PUT_FILE = "import sys; from skutune.store import *; from pathlib import Path\n" + (
    "open_store(sys.argv[1]).put_file('run/part', Path(sys.argv[2]))"
)
PUTS_UNDER_FAULT = """
import os, sys, resource
from pathlib import Path
from skutune.errors import SkutuneError
from skutune.store import open_store

root, fault = Path(sys.argv[1]), sys.argv[2]
store = open_store(str(root))
big = bytes(4 << 20)
source = Path(sys.argv[3])
source.write_bytes(big)
if fault != "read-only":
    store.put("run/part", b"the previous version")
if fault == "limit":
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

def attempt(name, action):
    try:
        action()
    except SkutuneError as error:
        print(name, type(error).__name__, error)
    else:
        print(name, "succeeded")

attempt("put", lambda: store.put("run/part", big))
attempt("put_file", lambda: store.put_file("run/new", source))
attempt("get_file", lambda: open_store(str(source.parent)).get_file(source.name, root / "copy"))
print("files", sorted(path.name for path in root.rglob("*") if path.is_file()))
if fault != "read-only":
    print("content", store.get("run/part").decode())
"""


def outcomes_under_fault(tmp_path: Path, fault: str, mount_options: str | None = None) -> dict[str, str]:
    """Write 4 MiB to a store in a subprocess, optionally on a tmpfs, and return the outcome of each action."""
    root = tmp_path / "store"
    root.mkdir()
    command = [sys.executable, "-c", PUTS_UNDER_FAULT, str(root), fault, str(tmp_path / "source")]
    if mount_options is not None:
        # A private mount namespace disappears with the process.
        user_options = [] if os.geteuid() == 0 else ["--map-root-user"]
        mount = f'mount -t tmpfs -o {mount_options} tmpfs "$0"'
        isolated = ["unshare", *user_options, "--mount", "sh", "-c"]
        if subprocess.run([*isolated, mount, str(root)], capture_output=True).returncode:
            pytest.skip("mounting a tmpfs needs root or user namespaces")
        command = [*isolated, f'{mount} && exec "$@"', str(root), *command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return dict(line.split(" ", 1) for line in done.stdout.splitlines())


def test_a_full_disk_is_retryable_and_leaves_no_partial_file(tmp_path: Path) -> None:
    outcome = outcomes_under_fault(tmp_path, "full", "size=1m")
    for action in ("put", "put_file", "get_file"):
        assert outcome[action].startswith("RetryableError cannot write")
        assert "the disk is full; free some space" in outcome[action]
    assert outcome["files"] == "['part']"
    assert outcome["content"] == "the previous version"


def test_a_read_only_folder_is_an_input_error(tmp_path: Path) -> None:
    outcome = outcomes_under_fault(tmp_path, "read-only", "ro")
    for action in ("put", "put_file", "get_file"):
        assert outcome[action].startswith("InputError cannot write")
        assert "grant this user permission to write it" in outcome[action]
    assert outcome["files"] == "[]"


def test_a_file_size_limit_is_an_input_error_and_leaves_no_partial_file(tmp_path: Path) -> None:
    outcome = outcomes_under_fault(tmp_path, "limit")
    assert outcome["put"].startswith("InputError cannot write")
    assert "ulimit -f" in outcome["put"]
    assert outcome["files"] == "['part']"
    assert outcome["content"] == "the previous version"


def test_a_killed_put_leaves_nothing_visible(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    process = subprocess.Popen([sys.executable, "-c", PUT_FILE, store.uri, str(pipe)])
    try:
        # The pipe delivers no more data, so that the process blocks in the middle of its put.
        with open(pipe, "wb") as unfinished:
            unfinished.write(bytes(4 << 20))
            unfinished.flush()
            partial = wait_for_partial_file(tmp_path / "store" / "run")
            assert list(store.list()) == []
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
    finally:
        process.kill()
    assert partial.exists()
    assert list(store.list()) == []
    assert store.head("run/part") is None
    with pytest.raises(NotFoundError):
        store.get("run/part")
    store.put("run/part", b"whole")
    assert [found.key for found in store.list("run/")] == ["run/part"]


def wait_for_partial_file(folder: Path) -> Path:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for path in folder.glob("*"):
            if path.stat().st_size:
                return path
        time.sleep(0.02)
    raise AssertionError("the put did not start")


def test_a_store_path_that_is_a_file_is_rejected_immediately(tmp_path: Path) -> None:
    (tmp_path / "products.csv").write_text("id,name\n")
    with pytest.raises(InputError, match=r"products\.csv: is a file; use a folder"):
        open_store(str(tmp_path / "products.csv"))


def test_a_store_path_below_a_file_is_rejected_by_the_write_check(tmp_path: Path) -> None:
    (tmp_path / "products.csv").write_text("id,name\n")
    with pytest.raises(InputError, match="a file exists where a folder is needed"):
        check_writable(open_store(str(tmp_path / "products.csv" / "runs")))


def test_a_key_cannot_be_both_an_object_and_a_folder(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    store.put("a/b", b".")
    for key in ("a", "a/b/c"):
        with pytest.raises(InputError, match="move it away"):
            store.put(key, b".")
    assert [found.key for found in store.list()] == ["a/b"]


def test_the_folder_is_created_by_the_first_put(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "runs"))
    assert list(store.list()) == []
    assert store.head("a") is None
    assert not (tmp_path / "runs").exists()


def test_deleting_the_last_object_removes_its_folder_but_not_the_root(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "runs"))
    store.put("run/stage/a", b".")
    store.put("run/b", b".")
    store.delete("run/stage/a")
    assert not (tmp_path / "runs/run/stage").exists()
    store.delete("run/b")
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_put_survives_concurrent_removal_of_its_new_folder(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))

    finish = threading.Event()

    def remove_empty_folders() -> None:
        while not finish.is_set():
            time.sleep(0.00005)
            with suppress(OSError):
                (tmp_path / "a").rmdir()

    remover = threading.Thread(target=remove_empty_folders)
    remover.start()
    try:
        for number in range(200):
            store.put("a/b", b"%d" % number)
            assert store.get("a/b") == b"%d" % number
            (tmp_path / "a/b").unlink()
    finally:
        finish.set()
        remover.join()


def test_temporary_files_older_than_a_day_are_removed_with_the_last_object(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    fresh, stale = tmp_path / "run/fresh/.put-1", tmp_path / "run/stale/.put-2"
    for leftover in (fresh, stale):
        store.put(f"run/{leftover.parent.name}/part", b".")
        leftover.write_bytes(b"partial")
    a_day_ago = time.time() - 25 * 3600
    os.utime(stale, (a_day_ago, a_day_ago))
    for found in list(store.list()):
        store.delete(found.key)
    assert not stale.parent.exists()
    assert fresh.exists()  # its process may still be writing
    assert list(store.list()) == []


def test_a_store_uri_is_a_folder_or_s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_store("runs").uri == str(tmp_path / "runs")
    for uri in ("", "  ", "gs://bucket/prefix", "file:///runs", "s3:/bucket", "s3:bucket"):
        with pytest.raises(InputError, match="s3://bucket/prefix"):
            open_store(uri)


def test_a_local_store_does_not_import_boto3(tmp_path: Path) -> None:
    code = "import sys; from skutune.store import *\ncheck_writable(open_store('runs')); print('boto3' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == "False\n"
