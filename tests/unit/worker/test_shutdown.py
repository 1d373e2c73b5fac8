"""A worker that hangs ends by itself, says so last, and has lost nothing that was whole."""

from __future__ import annotations

import json
import signal
import time

import pytest
from worker_tasks import Submitted

from skutune.process.watchdog import Watchdog, watched


def last_event(stderr: str) -> dict[str, object]:
    document: dict[str, object] = json.loads(stderr.strip().splitlines()[-1])
    return document


@pytest.mark.parametrize("hindrance", ["sleep", "hang"])
def test_a_worker_that_gets_nowhere_shows_its_threads_and_ends_with_75(describe: Submitted, hindrance: str) -> None:
    code, stderr = describe.work(hindrance, 20, "--stall-seconds", "1")
    assert code == 75
    said = last_event(stderr)
    assert (said["event"], said["exit_code"]) == ("error", 75)
    assert "no progress for 1 s" in str(said["message"])
    assert "Thread 0x" in stderr
    assert "hindered_worker.py" in stderr
    assert describe.listed().entries
    assert describe.work()[0] == 0


def test_a_pod_sets_the_time_by_its_environment(describe: Submitted) -> None:
    describe.environment["SKUTUNE_STALL_SECONDS"] = "1"
    assert describe.work("sleep", 20)[0] == 75


def test_a_worker_may_be_told_to_wait_for_ever(describe: Submitted) -> None:
    process = describe.start("sleep", 0, "--stall-seconds", "0")
    try:
        wait_for_requests(describe)
        time.sleep(2)
        assert process.poll() is None
    finally:
        process.kill()
        process.communicate()


def test_a_worker_told_to_stop_ends_with_143_at_once(describe: Submitted) -> None:
    process = describe.start("sleep", 20)
    wait_for_requests(describe)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=8)
    assert process.returncode == 143
    assert last_event(stderr)["exit_code"] == 143


def test_a_worker_that_hangs_where_no_handler_runs_still_ends_with_143(describe: Submitted) -> None:
    process = describe.start("hang", 0)
    wait_for_requests(describe)
    time.sleep(0.5)  # now it hangs
    told = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 143
    assert 9 < time.monotonic() - told < 20
    assert "where it hung" in str(last_event(stderr)["message"])


def test_it_ends_also_where_nobody_reads_what_it_says(describe: Submitted) -> None:
    process = describe.start("hang", 0)
    wait_for_requests(describe)
    time.sleep(0.5)  # now it hangs
    assert process.stderr is not None
    process.stderr.close()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 143


def test_a_start_and_a_model_being_loaded_may_take_longer_than_other_silence() -> None:
    pulse, stalls = Watchdog(), []
    with watched(0.2, lambda: stalls.append(time.monotonic()), pulse):
        time.sleep(0.4)  # starting
        with pulse.extended():
            time.sleep(0.4)  # loading
        assert stalls == []
        beaten = time.monotonic()
        while not stalls:
            assert time.monotonic() < beaten + 5
            time.sleep(0.01)
    assert stalls[0] - beaten < 0.5


def test_who_gets_on_slowly_is_left_alone() -> None:
    pulse, stalls = Watchdog(), []
    with watched(0.3, lambda: stalls.append(1), pulse):
        for _ in range(10):
            time.sleep(0.1)
            pulse.heartbeat()
    time.sleep(0.5)  # and nobody is watched afterwards
    assert stalls == []


def wait_for_requests(describe: Submitted) -> None:
    until = time.monotonic() + 30
    while not describe.requests():
        assert time.monotonic() < until
        time.sleep(0.02)
