"""Where the processes of a training are told to meet, and what their ends mean."""

from __future__ import annotations

import os
import socket
import sys
import time

import pytest

from skutune.errors import DeviceError, InputError, RetryableError, ShardError, SkutuneError
from skutune.process.launcher import Launcher, Topology

# Ends as its rank is told: rank 0 with the first code, rank 1 with the second, after so many seconds.
PROGRAM = """
import json, os, sys, time
code, seconds = json.loads(sys.argv[1])[int(os.environ["RANK"])]
time.sleep(seconds)
print(json.dumps({"event": "error", "message": f"rank {os.environ['RANK']} ended", "exit_code": code}), file=sys.stderr)
os.kill(os.getpid(), -code) if code < 0 else sys.exit(code)
"""


def run(*ends: tuple[int, float]) -> None:
    command = [sys.executable, "-c", PROGRAM, str([list(end) for end in ends])]
    with Launcher(command, Topology(len(ends)), os.environ) as ranks:
        ranks.wait()


def test_processes_of_all_machines_have_ranks_of_their_own() -> None:
    machines = [Topology(2, 3, node, "first:29500").environments() for node in range(3)]
    assert [told["RANK"] for machine in machines for told in machine] == list("012345")
    assert [told["LOCAL_RANK"] for machine in machines for told in machine] == list("010101")
    assert {(told["MASTER_ADDR"], told["MASTER_PORT"], told["WORLD_SIZE"]) for told in machines[2]} == {
        ("first", "29500", "6")
    }


def test_several_machines_must_know_where_to_meet() -> None:
    with pytest.raises(InputError, match="host:port"):
        Topology(8, nodes=2)
    with pytest.raises(InputError, match="counted from 0"):
        Topology(8, nodes=2, node_rank=2, meet="first:29500")


@pytest.mark.parametrize(
    ("ends", "kind", "said"),
    [
        ([(75, 0.0), (10, 0.5)], InputError, "rank 1 ended"),
        ([(20, 0.0), (75, 0.5)], ShardError, "rank 0 ended"),
        ([(75, 0.0), (76, 0.5)], DeviceError, "rank 1 ended"),
        ([(75, 0.0), (-9, 0.3)], RetryableError, "process 1 was killed by signal 9"),
        ([(75, 0.0), (1, 0.3)], SkutuneError, "rank 1 ended"),
        ([(75, 0.5), (75, 0.0)], RetryableError, "rank 1 ended"),  # the other may have failed because of it
    ],
)
def test_all_end_with_the_error_that_says_most(
    ends: list[tuple[int, float]], kind: type[SkutuneError], said: str
) -> None:
    with pytest.raises(SkutuneError, match=said) as raised:
        run(*ends)
    assert type(raised.value) is kind


def test_one_that_goes_on_after_another_failed_is_ended() -> None:
    started = time.monotonic()
    with pytest.raises(ShardError):
        run((20, 0.0), (0, 60.0))
    assert time.monotonic() - started < 20


def test_a_name_that_the_dns_does_not_know_yet_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Exception | list[object]] = [socket.gaierror("not yet"), socket.gaierror("not yet"), []]

    def resolve(*_: object) -> object:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    Topology(1, 2, 1, "first.training:29500").wait_for_first(5)
    assert answers == []
    answers.extend([socket.gaierror("unknown")] * 5)
    with pytest.raises(RetryableError, match=r"first\.training:29500: its name cannot be resolved"):
        Topology(1, 2, 1, "first.training:29500").wait_for_first(0)
