"""Which process this is, in words that another process can check later.

A process number alone is not enough: it is used again, in another container at the same time, and after a restart of
the machine. So the boot, the process number space and the start of the process belong to it. Linux tells all of them;
where there is no /proc they are empty, and then only an absent process number says something.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_DEAD_STATES = {"Z", "X"}


@dataclass(frozen=True, slots=True)
class Process:
    """A process of one boot of one machine. `boot` names the boot and the space of process numbers."""

    boot: str
    pid: int
    started: str

    def is_local(self) -> bool:
        """Whether its number means the same here."""
        return self.boot == _boot()


def current_process() -> Process:
    """This process."""
    pid = os.getpid()
    return Process(_boot(), pid, _start_of(pid) or "")


def is_running(process: Process) -> bool | None:
    """Whether a local process still runs; None where that cannot be told."""
    if not _exists(process.pid):
        return False
    started = _start_of(process.pid)
    if started is None or not process.started:
        return None
    return started == process.started


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _start_of(pid: int) -> str | None:
    """When the process started, in clock ticks since the boot; "dead" for one that only waits to be collected."""
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    # The name is in parentheses and may hold anything; the state is field 3, the start field 22 (proc(5)).
    fields = text.rpartition(")")[2].split()
    return "dead" if fields[0] in _DEAD_STATES else fields[19]


def _boot() -> str:
    with suppress(OSError):
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink(_PROC / 'self/ns/pid')}"
    return ""
