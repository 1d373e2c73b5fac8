"""Launches the processes of one distributed training on this machine and combines their exit codes.

This replaces torchrun because of the exit code: torchrun exits with 1 for every failure, and on a cluster the exit code
decides who must act. Its library (`elastic_launch` in torch.distributed.launcher) reports exit codes, but it terminates
all processes at the first failure, which may be a mere consequence of another one; it does not capture their error
messages, and it would keep PyTorch in the memory of a process that only waits.

Processes are configured by the environment variables that PyTorch reads (RANK, WORLD_SIZE, MASTER_ADDR, …), so that
torchrun can start them as well. With several nodes, the launcher runs once on each; rank 0 is the rendezvous.
"""

from __future__ import annotations

import math
import os
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from skutune.errors import BY_EXIT_CODE, InputError, RetryableError, SkutuneError
from skutune.process.error_log import last_error_message

_STOP_SECONDS = 20.0
_POLL_SECONDS = 0.2
_FAILURE_GRACE_SECONDS = 5.0
"""After the first failure: the other processes soon fail too, and one of them may report the cause."""

_LOG_LINES = 100
# Exit-code precedence: input, shard, device, internal error. A retryable error (75) comes last, because it is how the
# other processes report the loss of a peer.
_EXIT_CODE_PRECEDENCE = (10, 20, 76, 1)


@dataclass(frozen=True, slots=True)
class Topology:
    """The layout of a training: `processes` per node, `nodes`, and the rank of this node.

    `rendezvous` is `host:port` of the first node; "" for a single node.
    """

    processes: int
    nodes: int = 1
    node_rank: int = 0
    rendezvous: str = ""

    def __post_init__(self) -> None:
        if self.nodes > 1 and not self.rendezvous.rpartition(":")[2].isdecimal():
            raise InputError(
                f"--rendezvous {self.rendezvous!r}: specify host:port of the first of the {self.nodes} nodes"
            )
        if self.node_rank >= self.nodes:
            raise InputError(f"--node-rank {self.node_rank}: must be less than --nodes {self.nodes}")

    @property
    def is_single_process(self) -> bool:
        """Whether the training is not distributed."""
        return self.processes == self.nodes == 1

    def wait_for_rendezvous_dns(self, timeout_seconds: float) -> None:
        """Wait until the host name of the first node resolves: cluster DNS publishes a new pod after some seconds.

        Raises:
            RetryableError: the host name does not resolve within the timeout.
        """
        host, _, port = self.rendezvous.rpartition(":")
        deadline = time.monotonic() + timeout_seconds
        while self.nodes > 1:
            try:
                socket.getaddrinfo(host, port)
                return
            except socket.gaierror as error:
                if time.monotonic() > deadline:
                    raise RetryableError(
                        f"--rendezvous {self.rendezvous}: cannot resolve the host name: {error}"
                    ) from None
                time.sleep(_POLL_SECONDS)

    def environments(self) -> list[dict[str, str]]:
        """The distributed environment variables of each process on this node."""
        host, _, port = (self.rendezvous or f"127.0.0.1:{_free_port()}").rpartition(":")
        shared = {
            "MASTER_ADDR": host,
            "MASTER_PORT": port,
            "WORLD_SIZE": str(self.processes * self.nodes),
            "LOCAL_WORLD_SIZE": str(self.processes),
        }
        first_rank = self.node_rank * self.processes
        return [
            {**shared, "RANK": str(first_rank + local_rank), "LOCAL_RANK": str(local_rank)}
            for local_rank in range(self.processes)
        ]


class Launcher:
    """Runs one command in several processes on this node; leaving the context terminates them."""

    def __init__(self, command: Sequence[str], topology: Topology, environment: Mapping[str, str]) -> None:
        self._command, self._topology, self._environment = command, topology, environment
        self._ranks: list[_Rank] = []

    def __enter__(self) -> Launcher:
        for variables in self._topology.environments():
            self._ranks.append(_Rank(self._command, {**self._environment, **variables}))
        return self

    def __exit__(self, *_: object) -> None:
        for rank in self._ranks:
            rank.process.terminate()  # no effect if it has exited
        deadline = time.monotonic() + _STOP_SECONDS
        for rank in self._ranks:
            rank.stop(deadline)

    def wait(self) -> None:
        """Wait until all processes succeed. Raises the failure with the highest exit-code precedence."""
        while not self._failed() and self._running():
            time.sleep(_POLL_SECONDS)
        deadline = time.monotonic() + _FAILURE_GRACE_SECONDS
        while self._running() and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        if failed := self._failed():
            raise max(failed, key=lambda rank: (rank.precedence(), -rank.ended)).error()

    def _running(self) -> bool:
        return any(rank.process.poll() is None for rank in self._ranks)

    def _failed(self) -> list[_Rank]:
        return [rank for rank in self._ranks if rank.process.poll() not in (None, 0)]


class _Rank:
    """One process, whose stderr is forwarded and whose last lines are captured."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.rank = environment["RANK"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
        self.lines: deque[str] = deque(maxlen=_LOG_LINES)
        self.ended = math.inf
        assert self.process.stderr is not None
        self.reader = threading.Thread(target=self._forward, args=(self.process.stderr,), daemon=True)
        self.reader.start()

    def _forward(self, stream: IO[bytes]) -> None:
        for line in stream:
            self.lines.append(line.decode("utf-8", "replace").rstrip())
            os.write(sys.stderr.fileno(), line)
        self.ended = time.monotonic()

    def stop(self, deadline: float) -> None:
        try:
            self.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.reader.join()

    def precedence(self) -> int:
        """The precedence of its exit code; higher values are more likely the cause."""
        code = self.process.returncode
        if code in _EXIT_CODE_PRECEDENCE:
            return len(_EXIT_CODE_PRECEDENCE) - _EXIT_CODE_PRECEDENCE.index(code) + 1
        return 1 if code < 0 else 0

    def error(self) -> SkutuneError:
        self.reader.join(1)
        code = self.process.returncode
        if code < 0:
            return RetryableError(
                f"training: process {self.rank} was killed by signal {-code} (often out of memory); a retry "
                "resumes from the last checkpoint"
            )
        return BY_EXIT_CODE.get(code, SkutuneError)(last_error_message("\n".join(self.lines), code))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True, slots=True)
class ProcessGroup:
    """The rank of this process in a distributed training, and the number of processes in all and on this node."""

    rank: int = 0
    world_size: int = 1
    local_world_size: int = 1


SINGLE = ProcessGroup()
