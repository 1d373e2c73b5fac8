"""What a local store does when the machine fails it."""

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
AFTER_A_FAULT = """
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
    store.put("run/part", b"the version before")
if fault == "limit":
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

def attempt(name, action):
    try:
        action()
    except SkutuneError as error:
        print(name, type(error).__name__, error)
    else:
        print(name, "passed")

attempt("put", lambda: store.put("run/part", big))
attempt("put_file", lambda: store.put_file("run/new", source))
attempt("get_file", lambda: open_store(str(source.parent)).get_file(source.name, root / "copy"))
print("left", sorted(path.name for path in root.rglob("*") if path.is_file()))
if fault != "read-only":
    print("kept", store.get("run/part").decode())
"""


def after_a_fault(tmp_path: Path, fault: str, mount_options: str | None = None) -> str:
    """What a process tells that tried to write 4 MiB into a store; with options, on a file system of its own."""
    root = tmp_path / "store"
    root.mkdir()
    command = [sys.executable, "-c", AFTER_A_FAULT, str(root), fault, str(tmp_path / "source")]
    if mount_options is not None:
        # A mount in a namespace of its own goes with the process, however that ends.
        rights = [] if os.geteuid() == 0 else ["--map-root-user"]
        mount = f'mount -t tmpfs -o {mount_options} tmpfs "$0"'
        isolated = ["unshare", *rights, "--mount", "sh", "-c"]
        if subprocess.run([*isolated, mount, str(root)], capture_output=True).returncode:
            pytest.skip(
                "a small file system of one's own needs root or user namespaces, and this kernel allows neither"
            )
        command = [*isolated, f'{mount} && exec "$@"', str(root), *command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def outcomes(told: str) -> dict[str, str]:
    return dict(line.split(" ", 1) for line in told.splitlines())


def test_a_full_disk_is_worth_another_try_and_leaves_no_half_file(tmp_path: Path) -> None:
    told = outcomes(after_a_fault(tmp_path, "full", "size=1m"))
    for action in ("put", "put_file", "get_file"):
        assert told[action].startswith("RetryableError cannot write")
        assert "the disk is full; free some space" in told[action]
    assert told["left"] == "['part']"
    assert told["kept"] == "the version before"


def test_a_read_only_folder_is_an_error_of_the_input(tmp_path: Path) -> None:
    told = outcomes(after_a_fault(tmp_path, "read-only", "ro"))
    for action in ("put", "put_file", "get_file"):
        assert told[action].startswith("InputError cannot write")
        assert "give this user the right to write it" in told[action]
    assert told["left"] == "[]"


def test_a_limit_on_file_sizes_is_explained_and_leaves_no_half_file(tmp_path: Path) -> None:
    told = outcomes(after_a_fault(tmp_path, "limit"))
    assert told["put"].startswith("InputError cannot write")
    assert "ulimit -f" in told["put"]
    assert told["left"] == "['part']"
    assert told["kept"] == "the version before"


def test_a_put_killed_half_way_leaves_nothing_visible(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    process = subprocess.Popen([sys.executable, "-c", PUT_FILE, store.uri, str(pipe)])
    try:
        # The rest of the file never comes: the process hangs in the middle of its put.
        with open(pipe, "wb") as unfinished:
            unfinished.write(bytes(4 << 20))
            unfinished.flush()
            half = wait_for_half_file(tmp_path / "store" / "run")
            assert list(store.list()) == []
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
    finally:
        process.kill()
    assert half.exists()
    assert list(store.list()) == []
    assert store.head("run/part") is None
    with pytest.raises(NotFoundError):
        store.get("run/part")
    store.put("run/part", b"whole")
    assert [found.key for found in store.list("run/")] == ["run/part"]


def wait_for_half_file(folder: Path) -> Path:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for path in folder.glob("*"):
            if path.stat().st_size:
                return path
        time.sleep(0.02)
    raise AssertionError("the put never began")


def test_a_store_at_a_file_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "products.csv").write_text("id,name\n")
    with pytest.raises(InputError, match=r"products\.csv: is a file; name a folder"):
        open_store(str(tmp_path / "products.csv"))


def test_a_store_below_a_file_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "products.csv").write_text("id,name\n")
    with pytest.raises(InputError, match="a file lies where a folder is needed"):
        check_writable(open_store(str(tmp_path / "products.csv" / "runs")))


def test_an_object_cannot_take_the_name_of_a_folder_or_the_other_way_round(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    store.put("a/b", b".")
    for key in ("a", "a/b/c"):
        with pytest.raises(InputError, match="move it away"):
            store.put(key, b".")
    assert [found.key for found in store.list()] == ["a/b"]


def test_nothing_is_made_before_the_first_put(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "runs"))
    assert list(store.list()) == []
    assert store.head("a") is None
    assert not (tmp_path / "runs").exists()


def test_a_folder_goes_with_its_last_object_and_the_root_stays(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "runs"))
    store.put("run/stage/a", b".")
    store.put("run/b", b".")
    store.delete("run/stage/a")
    assert not (tmp_path / "runs/run/stage").exists()
    store.delete("run/b")
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_put_survives_the_removal_of_the_folder_that_it_has_just_made(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))

    over = threading.Event()

    def remove_empty_folders() -> None:
        while not over.is_set():
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
        over.set()
        remover.join()


def test_what_a_killed_put_left_a_day_ago_goes_with_the_last_object(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    fresh, stale = tmp_path / "run/fresh/.put-1", tmp_path / "run/stale/.put-2"
    for leftover in (fresh, stale):
        store.put(f"run/{leftover.parent.name}/part", b".")
        leftover.write_bytes(b"half")
    a_day_ago = time.time() - 25 * 3600
    os.utime(stale, (a_day_ago, a_day_ago))
    for found in list(store.list()):
        store.delete(found.key)
    assert not stale.parent.exists()
    assert fresh.exists()  # its process may still be writing
    assert list(store.list()) == []


def test_an_address_is_a_folder_or_s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_store("runs").uri == str(tmp_path / "runs")
    for uri in ("", "  ", "gs://bucket/prefix", "file:///runs", "s3:/bucket", "s3:bucket"):
        with pytest.raises(InputError, match="s3://bucket/prefix"):
            open_store(uri)


def test_a_local_store_needs_no_boto3(tmp_path: Path) -> None:
    code = "import sys; from skutune.store import *\ncheck_writable(open_store('runs')); print('boto3' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == "False\n"
