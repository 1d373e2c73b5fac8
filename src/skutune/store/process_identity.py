"""Detection of processes on this machine that have ended.

A process ID is only meaningful within one boot and one PID namespace: containers may share a host name and number their
processes alike. Where there is no /proc, the host name has to do.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

_PROC = Path("/proc")
_DEAD_STATES = {"Z", "X"}


def pid_namespace() -> str:
    """An identifier of the boot and the PID namespace in which process IDs of this process are valid."""
    try:
        boot_id = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot_id} {os.readlink(_PROC / 'self/ns/pid')}"
    except OSError:
        return socket.gethostname()


def has_ended(pid: int) -> bool:
    """Whether no process of this PID namespace has this ID, or only a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return False
    # The command name is in parentheses and may contain anything; the state is the field after it (proc(5)).
    return stat.rpartition(")")[2].split()[0] in _DEAD_STATES
