"""The processes of one training on this machine: started together, ended together, with one exit code.

What torchrun does, but for the exit code: torchrun ends with 1 whatever happened, and on a cluster the code decides who
must act. The library under it (`elastic_launch` in torch.distributed.launcher) tells the codes of who failed. But
it ends all others at the first failure, and that one may only know that another is gone; it keeps nobody's last words,
and it would keep PyTorch in the memory of a process that only waits.

A process is told its place by the variables that PyTorch itself reads (RANK, WORLD_SIZE, MASTER_ADDR, …), so that
torchrun can start it as well. On several machines this runs once on each; the first machine's first process is where
all of them meet.
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
_ALL_TELL_SECONDS = 5.0
"""After one failed: the others soon fail, too, and one of them may say better why."""

_LINES = 100
# Who says most: a person must act, the shard, the device, a fault of the program. That another process is gone (75) is
# what the others say of one that was killed or that told more.
_EXIT_CODE_PRECEDENCE = (10, 20, 76, 1)


@dataclass(frozen=True, slots=True)
class Topology:
    """How many processes train, on how many machines, and which one this machine is.

    `meet` is `host:port` of the first machine; "" on a single one.
    """

    processes: int
    nodes: int = 1
    node_rank: int = 0
    meet: str = ""

    def __post_init__(self) -> None:
        if self.nodes > 1 and not self.meet.rpartition(":")[2].isdecimal():
            raise InputError(f"--meet {self.meet!r}: name host:port of the first of the {self.nodes} nodes")
        if self.node_rank >= self.nodes:
            raise InputError(f"--node-rank {self.node_rank}: there are {self.nodes} nodes, counted from 0")

    @property
    def is_alone(self) -> bool:
        """Whether a single process trains."""
        return self.processes == self.nodes == 1

    def wait_for_first(self, seconds: float) -> None:
        """Wait until the first machine's name is known: a cluster's DNS learns a new pod's name after some seconds.

        Raises:
            RetryableError: it is not known after so long.
        """
        host, _, port = self.meet.rpartition(":")
        until = time.monotonic() + seconds
        while self.nodes > 1:
            try:
                socket.getaddrinfo(host, port)
                return
            except socket.gaierror as error:
                if time.monotonic() > until:
                    raise RetryableError(f"--meet {self.meet}: its name cannot be resolved: {error}") from None
                time.sleep(_POLL_SECONDS)

    def environments(self) -> list[dict[str, str]]:
        """What each process of this machine is told of its place."""
        host, _, port = (self.meet or f"127.0.0.1:{_free_port()}").rpartition(":")
        shared = {
            "MASTER_ADDR": host,
            "MASTER_PORT": port,
            "WORLD_SIZE": str(self.processes * self.nodes),
            "LOCAL_WORLD_SIZE": str(self.processes),
        }
        first = self.node_rank * self.processes
        return [{**shared, "RANK": str(first + each), "LOCAL_RANK": str(each)} for each in range(self.processes)]


class Launcher:
    """The processes of this machine, each running the same command; ended with this one."""

    def __init__(self, command: Sequence[str], place: Topology, environment: Mapping[str, str]) -> None:
        self._command, self._place, self._environment = command, place, environment
        self._started: list[_Rank] = []

    def __enter__(self) -> Launcher:
        for told in self._place.environments():
            self._started.append(_Rank(self._command, {**self._environment, **told}))
        return self

    def __exit__(self, *_: object) -> None:
        for rank in self._started:
            rank.process.terminate()  # nothing happens to one that has ended
        until = time.monotonic() + _STOP_SECONDS
        for rank in self._started:
            rank.end(until)

    def wait(self) -> None:
        """Wait until all have ended well. Raises the error of the one that failed and says most."""
        while not self._failed() and self._running():
            time.sleep(_POLL_SECONDS)
        until = time.monotonic() + _ALL_TELL_SECONDS
        while self._running() and time.monotonic() < until:
            time.sleep(_POLL_SECONDS)
        if failed := self._failed():
            raise max(failed, key=lambda rank: (rank.weight(), -rank.ended)).error()

    def _running(self) -> bool:
        return any(rank.process.poll() is None for rank in self._started)

    def _failed(self) -> list[_Rank]:
        return [rank for rank in self._started if rank.process.poll() not in (None, 0)]


class _Rank:
    """One process; what it says on stderr is passed on, and its last lines are kept."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.number = environment["RANK"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
        self.lines: deque[str] = deque(maxlen=_LINES)
        self.ended = math.inf
        assert self.process.stderr is not None
        self.reader = threading.Thread(target=self._pass_on, args=(self.process.stderr,), daemon=True)
        self.reader.start()

    def _pass_on(self, stream: IO[bytes]) -> None:
        for line in stream:
            self.lines.append(line.decode("utf-8", "replace").rstrip())
            os.write(sys.stderr.fileno(), line)
        self.ended = time.monotonic()

    def end(self, until: float) -> None:
        try:
            self.process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.reader.join()

    def weight(self) -> int:
        """How much its end says of why all of them end."""
        code = self.process.returncode
        if code in _EXIT_CODE_PRECEDENCE:
            return len(_EXIT_CODE_PRECEDENCE) - _EXIT_CODE_PRECEDENCE.index(code) + 1
        return 1 if code < 0 else 0

    def error(self) -> SkutuneError:
        self.reader.join(1)
        code = self.process.returncode
        if code < 0:
            return RetryableError(
                f"training: process {self.number} was killed by signal {-code} (often: out of memory); another try "
                "goes on from the last checkpoint"
            )
        return BY_EXIT_CODE.get(code, SkutuneError)(last_error_message("\n".join(self.lines), code))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True, slots=True)
class ProcessGroup:
    """The number of this process among the `ranks` that train together, `ranks_here` of them on this machine."""

    rank: int = 0
    ranks: int = 1
    ranks_here: int = 1


SINGLE = ProcessGroup()
