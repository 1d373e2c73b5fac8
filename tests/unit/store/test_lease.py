"""A lease admits one run at a time, and expires when its holder is dead."""

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
HOLD_LEASE = (
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
def lease_in_subprocess(store: ObjectStore, ttl_seconds: float = 60) -> Iterator[subprocess.Popen[str]]:
    """Run a process that holds the lease until it is killed."""
    command = [sys.executable, "-c", HOLD_LEASE, store.uri, str(ttl_seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def read_lease(store: ObjectStore) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(store.get(KEY))
    return document


def put_lease(store: ObjectStore, **changes: Any) -> None:
    """Put the lease that this process would write, with some fields changed."""
    with hold(store, KEY, settle_seconds=0):
        document = read_lease(store)
    store.put(KEY, json.dumps({**document, **changes}).encode())


def eventually(condition: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_the_error_for_a_second_run_names_the_holder(store: ObjectStore) -> None:
    with lease_in_subprocess(store) as other, pytest.raises(InputError) as error, hold(store, KEY):
        pass
    assert error.value.exit_code == 10
    for text in (f"another run, process {other.pid} on {socket.gethostname()}, since 20", store.uri, "wait for it"):
        assert text in str(error.value)


def test_a_rejected_run_does_not_change_the_lease(folder: ObjectStore) -> None:
    with hold(folder, KEY, settle_seconds=0) as first:
        with pytest.raises(InputError, match="in progress"), hold(folder, KEY):
            pass
        assert read_lease(folder)["token"] == first.holder.token
        assert not first.lost


def test_the_lease_is_released_when_the_run_succeeds(store: ObjectStore) -> None:
    with hold(store, KEY, settle_seconds=0) as lease:
        assert read_lease(store)["token"] == lease.holder.token
        lease.check()
    assert store.head(KEY) is None
    with hold(store, KEY, settle_seconds=0):
        pass


def test_the_lease_is_released_when_the_run_fails(folder: ObjectStore) -> None:
    with pytest.raises(KeyboardInterrupt), hold(folder, KEY, settle_seconds=0):
        raise KeyboardInterrupt
    assert folder.head(KEY) is None


def test_a_killed_run_on_this_machine_is_taken_over_at_once(store: ObjectStore) -> None:
    with lease_in_subprocess(store) as other:
        other.send_signal(signal.SIGKILL)
        other.wait()
    started = time.monotonic()
    with hold(store, KEY) as lease:
        assert time.monotonic() - started < 3
        assert read_lease(store)["token"] == lease.holder.token


def test_a_zombie_process_counts_as_dead(folder: ObjectStore) -> None:
    with lease_in_subprocess(folder) as other:
        other.send_signal(signal.SIGKILL)
        assert eventually(lambda: Path(f"/proc/{other.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z")
        with hold(folder, KEY, settle_seconds=0):
            pass


def test_a_reused_process_id_does_not_keep_the_lease_beyond_its_ttl(folder: ObjectStore) -> None:
    put_lease(folder, pid=os.getpid())
    time.sleep(0.3)
    with hold(folder, KEY, ttl_seconds=0.2, settle_seconds=0) as lease:
        assert read_lease(folder)["token"] == lease.holder.token


def test_a_run_on_another_machine_keeps_its_lease_while_the_heartbeat_is_fresh(folder: ObjectStore) -> None:
    put_lease(folder, host="elsewhere", pid_namespace="elsewhere", pid=2**22 + 1)
    with pytest.raises(InputError, match="on elsewhere"), hold(folder, KEY):
        pass


def test_a_run_on_another_machine_is_taken_over_when_its_lease_has_expired(folder: ObjectStore) -> None:
    put_lease(folder, host="elsewhere", pid_namespace="elsewhere")
    time.sleep(0.3)
    with hold(folder, KEY, ttl_seconds=0.2, settle_seconds=0) as lease:
        assert read_lease(folder)["token"] == lease.holder.token


def test_process_ids_are_not_compared_across_containers_with_the_same_host_name(folder: ObjectStore) -> None:
    put_lease(folder, pid_namespace="another boot or container", pid=2**22 + 1)
    with pytest.raises(InputError, match=f"process {2**22 + 1}"), hold(folder, KEY):
        pass


def test_the_heartbeat_is_renewed_while_the_lease_is_held(store: ObjectStore) -> None:
    with hold(store, KEY, ttl_seconds=0.4, settle_seconds=0):
        first = read_lease(store)
        assert eventually(lambda: read_lease(store)["heartbeat"] > first["heartbeat"])
        assert {**read_lease(store), "heartbeat": None} == {**first, "heartbeat": None}


def test_a_run_that_lost_its_lease_detects_it_and_keeps_the_new_one(folder: ObjectStore) -> None:
    with hold(folder, KEY, ttl_seconds=2, settle_seconds=0) as lease:
        new_lease = json.dumps({**read_lease(folder), "token": "another", "host": "elsewhere"}).encode()
        folder.put(KEY, new_lease)  # before the first renewal, which detects it
        assert eventually(lambda: lease.lost)
        with pytest.raises(InputError, match=r"another run has taken over: .* on elsewhere"):
            lease.check()
    assert folder.get(KEY) == new_lease


class StaggeredStore(LocalStore):
    """A folder where all threads read before any of them writes, and then write one after another."""

    def __init__(self, root: Path, readers: int) -> None:
        super().__init__(root)
        self._all_read, self._turn = threading.Barrier(readers), itertools.count()
        self._thread_state = threading.local()

    def get(self, key: str) -> bytes:
        try:
            return super().get(key)
        finally:
            if not hasattr(self._thread_state, "has_read"):
                self._thread_state.has_read = True
                self._all_read.wait()

    def put(self, key: str, data: bytes) -> None:
        time.sleep(0.1 * next(self._turn))
        super().put(key, data)


def test_only_one_of_several_concurrent_runs_gets_the_lease(tmp_path: Path) -> None:
    folder = StaggeredStore(tmp_path, readers=4)
    finish = threading.Event()
    leases: list[Lease] = []
    errors: list[InputError] = []

    def run() -> None:
        try:
            with hold(folder, KEY) as lease:
                leases.append(lease)
                finish.wait(10)
        except InputError as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert eventually(lambda: len(leases) + len(errors) == 4)
    finish.set()
    for thread in threads:
        thread.join()
    assert (len(leases), len(errors)) == (1, 3)
    assert folder.head(KEY) is None


def test_a_lease_survives_a_temporary_store_failure(
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


def test_an_object_that_is_not_a_lease_is_not_overwritten(folder: ObjectStore) -> None:
    for data in (b"", b"not json", b"[]", b"{}", b'{"token": "t", "pid": 1}'):
        folder.put(KEY, data)
        with pytest.raises(InputError, match="delete it if this run is not in progress"), hold(folder, KEY):
            pass
        assert folder.get(KEY) == data


def test_the_lease_names_owner_host_and_process(folder: ObjectStore) -> None:
    with hold(folder, KEY, owner="nightly", settle_seconds=0):
        document = read_lease(folder)
    assert (document["owner"], document["host"], document["pid"]) == (
        "nightly",
        socket.gethostname(),
        os.getpid(),
    )
