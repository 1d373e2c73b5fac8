"""Errors, classified by who must act.

The class of an error determines the exit code of the process, and thereby whether a cluster retries. The message says
what is wrong, where, and what to do. Only the command line maps errors to exit codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem with an input: where it is (a path in a config, a line of a file) and what it is."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" if self.where else self.what


class SkutuneError(Exception):
    """An internal error of skutune, unless a subclass says otherwise."""

    exit_code = 1


class InputError(SkutuneError):
    """The user's command, config, catalog or store address is wrong; a retry cannot succeed."""

    exit_code = 10

    def __init__(self, message: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "\n".join([super().__str__(), *(f"  - {problem}" for problem in self.problems)])


class ShardError(SkutuneError):
    """The shard cannot succeed; other shards may."""

    exit_code = 20


class RetryableError(SkutuneError):
    """A transient failure of storage or network, or a stall; a retry may succeed."""

    exit_code = 75


class DeviceError(SkutuneError):
    """The accelerator is faulty; retry on another one."""

    exit_code = 76


class StoppedError(SkutuneError):
    """Stopped by SIGTERM or Ctrl-C; completed work is kept and the next run resumes from it."""

    exit_code = 143


BY_EXIT_CODE: dict[int, type[SkutuneError]] = {
    error_class.exit_code: error_class
    for error_class in (InputError, ShardError, RetryableError, DeviceError, StoppedError)
}
"""Maps the exit code of another skutune process back to an error class."""


class StopSignal(BaseException):
    """Raised on SIGTERM or Ctrl-C.

    Not an `Exception`, because libraries suppress those in callbacks; not a `KeyboardInterrupt`, because CPython kills
    the process with SIGINT once one has passed through `exec`, even if it is caught afterwards.
    """
