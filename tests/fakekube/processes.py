"""Containers as local processes, each the leader of a process group, so that its children are killed with it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .problems import Object


@dataclass
class Command:
    """What to start for one container."""

    container: Object
    argv: list[str]
    environment: dict[str, str]
    folder: Path


@dataclass
class Running:
    """A started container."""

    command: Command
    process: subprocess.Popen[bytes]
    started: str
    restarts: int = 0
    ended: bool = False


def launch(command: Command, log: Path) -> subprocess.Popen[bytes] | str:
    """The process, or why there is none. Its output goes to the end of `log`."""
    if not command.argv:
        return "no command specified"
    program = shutil.which(command.argv[0], path=command.environment["PATH"])
    if program is None:
        how = "no such file or directory" if "/" in command.argv[0] else "executable file not found in $PATH"
        return f'failed to create containerd task: exec: "{command.argv[0]}": {how}'
    with log.open("ab") as output:
        return subprocess.Popen(
            [program, *command.argv[1:]],
            env=command.environment,
            cwd=command.folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """kill -9 of a process and all that it started."""
    with suppress(ProcessLookupError, PermissionError):  # it may have ended in between
        os.killpg(process.pid, signal.SIGKILL)
