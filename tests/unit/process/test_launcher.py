"""The environment of distributed training processes, and the precedence of their exit codes."""

from __future__ import annotations

import os
import socket
import sys
import time

import pytest

from skutune.errors import DeviceError, InputError, RetryableError, ShardError, SkutuneError
from skutune.process.launcher import Launcher, Topology

# Takes a list of (exit code, delay in seconds) by rank; a negative code is a signal.
PROGRAM = """
import json, os, sys, time
code, seconds = json.loads(sys.argv[1])[int(os.environ["RANK"])]
time.sleep(seconds)
message = f"rank {os.environ['RANK']} failed"
print(json.dumps({"event": "error", "message": message, "exit_code": code}), file=sys.stderr)
os.kill(os.getpid(), -code) if code < 0 else sys.exit(code)
"""


def launch(*exits: tuple[int, float]) -> None:
    command = [sys.executable, "-c", PROGRAM, str([list(each) for each in exits])]
    with Launcher(command, Topology(len(exits)), os.environ) as launcher:
        launcher.wait()


def test_ranks_are_unique_across_nodes() -> None:
    nodes = [Topology(2, 3, node, "first:29500").environments() for node in range(3)]
    assert [process["RANK"] for node in nodes for process in node] == list("012345")
    assert [process["LOCAL_RANK"] for node in nodes for process in node] == list("010101")
    assert {(process["MASTER_ADDR"], process["MASTER_PORT"], process["WORLD_SIZE"]) for process in nodes[2]} == {
        ("first", "29500", "6")
    }


def test_several_nodes_require_a_rendezvous_and_a_valid_rank() -> None:
    with pytest.raises(InputError, match="host:port"):
        Topology(8, nodes=2)
    with pytest.raises(InputError, match="must be less than --nodes 2"):
        Topology(8, nodes=2, node_rank=2, rendezvous="first:29500")


@pytest.mark.parametrize(
    ("exits", "error_class", "message"),
    [
        ([(75, 0.0), (10, 0.5)], InputError, "rank 1 failed"),
        ([(20, 0.0), (75, 0.5)], ShardError, "rank 0 failed"),
        ([(75, 0.0), (76, 0.5)], DeviceError, "rank 1 failed"),
        ([(75, 0.0), (-9, 0.3)], RetryableError, "process 1 was killed by signal 9"),
        ([(75, 0.0), (1, 0.3)], SkutuneError, "rank 1 failed"),
        ([(75, 0.5), (75, 0.0)], RetryableError, "rank 1 failed"),  # the other may have failed because of it
    ],
)
def test_the_error_with_the_highest_precedence_is_raised(
    exits: list[tuple[int, float]], error_class: type[SkutuneError], message: str
) -> None:
    with pytest.raises(SkutuneError, match=message) as raised:
        launch(*exits)
    assert type(raised.value) is error_class


def test_processes_are_terminated_after_another_failed() -> None:
    started = time.monotonic()
    with pytest.raises(ShardError):
        launch((20, 0.0), (0, 60.0))
    assert time.monotonic() - started < 20


def test_the_rendezvous_host_may_not_resolve_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Exception | list[object]] = [socket.gaierror("not yet"), socket.gaierror("not yet"), []]

    def resolve(*_: object) -> object:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    Topology(1, 2, 1, "first.training:29500").wait_for_rendezvous_dns(5)
    assert answers == []
    answers.extend([socket.gaierror("unknown")] * 5)
    with pytest.raises(RetryableError, match=r"first\.training:29500: cannot resolve the host name"):
        Topology(1, 2, 1, "first.training:29500").wait_for_rendezvous_dns(0)
