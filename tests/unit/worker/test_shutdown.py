"""A worker that hangs exits by itself, logs the error last, and loses no completed part."""

from __future__ import annotations

import json
import signal
import time

import pytest
from worker_tasks import SubmittedTask

from skutune.process.watchdog import Watchdog, watched


def last_event(stderr: str) -> dict[str, object]:
    document: dict[str, object] = json.loads(stderr.strip().splitlines()[-1])
    return document


@pytest.mark.parametrize("fault", ["sleep", "hang"])
def test_a_stalled_worker_dumps_its_stacks_and_exits_with_75(describe: SubmittedTask, fault: str) -> None:
    code, stderr = describe.work(fault, 20, "--stall-seconds", "1")
    assert code == 75
    error = last_event(stderr)
    assert (error["event"], error["exit_code"]) == ("error", 75)
    assert "no progress for 1 s" in str(error["message"])
    assert "Thread 0x" in stderr
    assert "faulty_worker.py" in stderr
    assert describe.shard_manifest().entries
    assert describe.work()[0] == 0


def test_the_stall_timeout_is_configurable_by_environment(describe: SubmittedTask) -> None:
    describe.environment["SKUTUNE_STALL_SECONDS"] = "1"
    assert describe.work("sleep", 20)[0] == 75


def test_a_stall_timeout_of_zero_disables_the_watchdog(describe: SubmittedTask) -> None:
    process = describe.start("sleep", 0, "--stall-seconds", "0")
    try:
        wait_for_requests(describe)
        time.sleep(2)
        assert process.poll() is None
    finally:
        process.kill()
        process.communicate()


def test_sigterm_stops_a_worker_with_143(describe: SubmittedTask) -> None:
    process = describe.start("sleep", 20)
    wait_for_requests(describe)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=8)
    assert process.returncode == 143
    assert last_event(stderr)["exit_code"] == 143


def test_sigterm_stops_a_worker_that_hangs_in_native_code(describe: SubmittedTask) -> None:
    process = describe.start("hang", 0)
    wait_for_requests(describe)
    time.sleep(0.5)  # until it hangs
    signaled = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 143
    assert 9 < time.monotonic() - signaled < 20
    assert "stopped by a signal while it hung" in str(last_event(stderr)["message"])


def test_a_hanging_worker_exits_even_if_stderr_is_closed(describe: SubmittedTask) -> None:
    process = describe.start("hang", 0)
    wait_for_requests(describe)
    time.sleep(0.5)  # until it hangs
    assert process.stderr is not None
    process.stderr.close()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 143


def test_the_timeout_is_extended_at_startup_and_while_loading_a_model() -> None:
    watchdog, stalls = Watchdog(), []
    with watched(0.2, lambda: stalls.append(time.monotonic()), watchdog):
        time.sleep(0.4)  # startup
        with watchdog.extended():
            time.sleep(0.4)  # loading a model
        assert stalls == []
        last_heartbeat = time.monotonic()
        while not stalls:
            assert time.monotonic() < last_heartbeat + 5
            time.sleep(0.01)
    assert stalls[0] - last_heartbeat < 0.5


def test_slow_progress_is_not_a_stall() -> None:
    watchdog, stalls = Watchdog(), []
    with watched(0.3, lambda: stalls.append(1), watchdog):
        for _ in range(10):
            time.sleep(0.1)
            watchdog.heartbeat()
    time.sleep(0.5)  # after the block, nothing is watched
    assert stalls == []


def wait_for_requests(describe: SubmittedTask) -> None:
    deadline = time.monotonic() + 30
    while not describe.requests():
        assert time.monotonic() < deadline
        time.sleep(0.02)
