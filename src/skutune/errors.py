"""What can go wrong, sorted by who must act.

An error's class decides the process's exit code, and with it whether a cluster tries again. The message is for a
person: what was wrong, where, and what to do. Only `cli.py` and `worker.py` turn errors into exit codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with an input: where it is (a path in a config, a line of a file) and what it is."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" if self.where else self.what


class SkutuneError(Exception):
    """A fault of skutune itself, unless a subclass says otherwise."""

    exit_code = 1


class InputError(SkutuneError):
    """The user's command, config, catalog or store address is wrong; trying again changes nothing."""

    exit_code = 10

    def __init__(self, message: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "\n".join([super().__str__(), *(f"  - {problem}" for problem in self.problems)])


class ShardError(SkutuneError):
    """This shard cannot succeed; others may."""

    exit_code = 20


class RetryableError(SkutuneError):
    """Storage, network or progress failed for now; trying again makes sense."""

    exit_code = 75


class DeviceError(SkutuneError):
    """The accelerator is faulty; try on another one."""

    exit_code = 76


class StoppedError(SkutuneError):
    """Told to stop (SIGTERM, Ctrl-C); what was written stays and the next run goes on from it."""

    exit_code = 143


BY_EXIT_CODE: dict[int, type[SkutuneError]] = {
    kind.exit_code: kind for kind in (InputError, ShardError, RetryableError, DeviceError, StoppedError)
}
"""The class of error that another process of skutune ended with."""


class StopSignal(BaseException):
    """SIGTERM or Ctrl-C arrived.

    No `Exception`, because libraries catch those in their callbacks and would go on; and no `KeyboardInterrupt`,
    because CPython ends a process by SIGINT once one has passed through `exec`, even where it is caught afterwards.
    """
