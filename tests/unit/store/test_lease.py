"""A lease: one run at a time, and none kept out by the dead."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from servers import S3Server

from skutune.errors import InputError
from skutune.store import ObjectStore, open_store
from skutune.store.lease import Lease, hold
from skutune.store.local import LocalStore

KEY = "run/lease.json"
HOLD_FOR_EVER = (
    "import sys, time; from skutune.store import open_store; from skutune.store.lease import hold\n"
    "with hold(open_store(sys.argv[1]), 'run/lease.json', owner='another run', ttl_seconds=float(sys.argv[2]),"
    " settle_seconds=0):\n"
    "    print('held', flush=True); time.sleep(600)"
)


@pytest.fixture(params=["local", "seaweedfs"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    if request.param == "local":
        return open_store(str(tmp_path))
    server: S3Server = request.getfixturevalue("seaweedfs")
    server.set_environment(monkeypatch)
    return open_store(f"s3://{server.bucket}/{uuid.uuid4().hex}")


@pytest.fixture
def folder(tmp_path: Path) -> ObjectStore:
    return open_store(str(tmp_path))


@contextmanager
def another_process(store: ObjectStore, ttl_seconds: float = 60) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lease until it is killed."""
    command = [sys.executable, "-c", HOLD_FOR_EVER, store.uri, str(ttl_seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def stored(store: ObjectStore) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(store.get(KEY))
    return document


def leave(store: ObjectStore, **changes: Any) -> None:
    """Leave a lease behind as this process would have, with changes."""
    with hold(store, KEY, settle_seconds=0):
        document = stored(store)
    document["process"].update(changes.pop("process", {}))
    store.put(KEY, json.dumps({**document, **changes}).encode())


def eventually(condition: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_a_second_run_is_told_who_is_at_work(store: ObjectStore) -> None:
    with another_process(store) as other, pytest.raises(InputError) as refused, hold(store, KEY):
        pass
    assert refused.value.exit_code == 10
    for told in (f"another run, process {other.pid} on {socket.gethostname()}, since 20", store.uri, "wait for it"):
        assert told in str(refused.value)


def test_a_refused_run_leaves_the_lease_alone(folder: ObjectStore) -> None:
    with hold(folder, KEY, settle_seconds=0) as first:
        with pytest.raises(InputError, match="at work"), hold(folder, KEY):
            pass
        assert stored(folder)["token"] == first.holder.token
        assert not first.lost


def test_a_run_that_ends_gives_the_lease_back(store: ObjectStore) -> None:
    with hold(store, KEY, settle_seconds=0) as lease:
        assert stored(store)["token"] == lease.holder.token
        lease.check()
    assert store.head(KEY) is None
    with hold(store, KEY, settle_seconds=0):
        pass


def test_a_run_that_fails_gives_the_lease_back(folder: ObjectStore) -> None:
    with pytest.raises(KeyboardInterrupt), hold(folder, KEY, settle_seconds=0):
        raise KeyboardInterrupt
    assert folder.head(KEY) is None


def test_a_killed_run_on_this_machine_is_followed_at_once(store: ObjectStore) -> None:
    with another_process(store) as other:
        other.send_signal(signal.SIGKILL)
        other.wait()
    started = time.monotonic()
    with hold(store, KEY) as lease:
        assert time.monotonic() - started < 3
        assert stored(store)["token"] == lease.holder.token


def test_a_killed_run_that_nobody_has_collected_yet_is_dead_too(folder: ObjectStore) -> None:
    with another_process(folder) as other:
        other.send_signal(signal.SIGKILL)
        assert eventually(lambda: Path(f"/proc/{other.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z")
        with hold(folder, KEY, settle_seconds=0):
            pass


def test_a_process_number_that_was_used_again_does_not_keep_a_lease(folder: ObjectStore) -> None:
    leave(folder, process={"started": "1"})
    with hold(folder, KEY, settle_seconds=0):
        pass


def test_a_sleeping_run_on_this_machine_keeps_its_lease(folder: ObjectStore) -> None:
    with another_process(folder, ttl_seconds=0.2) as other:
        other.send_signal(signal.SIGSTOP)
        time.sleep(0.5)
        with pytest.raises(InputError, match=f"process {other.pid}"), hold(folder, KEY, ttl_seconds=0.2):
            pass


def test_a_run_elsewhere_keeps_its_lease_while_its_heart_beats(folder: ObjectStore) -> None:
    leave(folder, host="elsewhere")
    with pytest.raises(InputError, match="on elsewhere"), hold(folder, KEY):
        pass


def test_a_run_elsewhere_is_followed_when_it_was_silent_for_too_long(folder: ObjectStore) -> None:
    leave(folder, host="elsewhere")
    time.sleep(0.3)
    with hold(folder, KEY, ttl_seconds=0.2, settle_seconds=0) as lease:
        assert stored(folder)["token"] == lease.holder.token


def test_another_container_with_this_name_is_elsewhere(folder: ObjectStore) -> None:
    leave(folder, process={"boot": "another boot or process number space", "pid": 2**22 + 1})
    with pytest.raises(InputError, match=f"process {2**22 + 1}"), hold(folder, KEY):
        pass


def test_the_heart_beats_while_the_run_lasts(store: ObjectStore) -> None:
    with hold(store, KEY, ttl_seconds=0.4, settle_seconds=0):
        first = stored(store)
        assert eventually(lambda: stored(store)["heartbeat"] > first["heartbeat"])
        assert {**stored(store), "heartbeat": None} == {**first, "heartbeat": None}


def test_a_run_that_was_taken_over_learns_it_and_spares_the_other_lease(folder: ObjectStore) -> None:
    with hold(folder, KEY, ttl_seconds=2, settle_seconds=0) as lease:
        theirs = json.dumps({**stored(folder), "token": "theirs", "host": "elsewhere"}).encode()
        # Long before the first renewal, which sees it.
        folder.put(KEY, theirs)
        assert eventually(lambda: lease.lost)
        with pytest.raises(InputError, match=r"another run has taken over: .* on elsewhere"):
            lease.check()
    assert folder.get(KEY) == theirs


class StaggeredStore(LocalStore):
    """A folder whose first readers all see it before any of them writes, and whose writers come one by one."""

    def __init__(self, root: Path, readers: int) -> None:
        super().__init__(root)
        self._together, self._turn = threading.Barrier(readers), itertools.count()
        self._has_read = threading.local()

    def get(self, key: str) -> bytes:
        try:
            return super().get(key)
        finally:
            if not hasattr(self._has_read, "once"):
                self._has_read.once = True
                self._together.wait()

    def put(self, key: str, data: bytes) -> None:
        time.sleep(0.1 * next(self._turn))
        super().put(key, data)


def test_of_runs_that_start_together_one_goes_on(tmp_path: Path) -> None:
    folder = StaggeredStore(tmp_path, readers=4)
    over = threading.Event()
    held: list[Lease] = []
    refused: list[InputError] = []

    def run() -> None:
        try:
            with hold(folder, KEY) as lease:
                held.append(lease)
                over.wait(10)
        except InputError as error:
            refused.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert eventually(lambda: len(held) + len(refused) == 4)
    over.set()
    for thread in threads:
        thread.join()
    assert (len(held), len(refused)) == (1, 3)
    assert folder.head(KEY) is None


def test_a_lease_outlives_a_store_that_fails_for_a_while(
    folder: ObjectStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with hold(folder, KEY, ttl_seconds=0.2, settle_seconds=0) as lease:
        path = tmp_path / KEY
        (tmp_path / "run").rename(tmp_path / "moved")
        (tmp_path / "run").write_text("a file where a folder was")
        assert eventually(lambda: "could not be renewed" in caplog.text)
        (tmp_path / "run").unlink()
        assert eventually(path.exists)
        assert not lease.lost
    assert not path.exists()


def test_something_else_under_the_key_is_not_overwritten(folder: ObjectStore) -> None:
    for data in (b"", b"not json", b"[]", b"{}", b'{"token": "t", "process": 1}'):
        folder.put(KEY, data)
        with pytest.raises(InputError, match="delete it if no run is at work"), hold(folder, KEY):
            pass
        assert folder.get(KEY) == data


def test_this_process_is_told_as_it_is(folder: ObjectStore) -> None:
    with hold(folder, KEY, owner="nightly", settle_seconds=0):
        document = stored(folder)
    assert (document["owner"], document["host"], document["process"]["pid"]) == (
        "nightly",
        socket.gethostname(),
        os.getpid(),
    )
