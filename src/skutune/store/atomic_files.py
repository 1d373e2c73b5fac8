"""Atomic file writes, and the translation of operating system errors.

A file is written under a temporary name in the same folder, so that the rename that publishes it stays on one file
system and is atomic.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from skutune.errors import InputError, RetryableError, SkutuneError
from skutune.store.keys import TEMPORARY

_DISK_FULL = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the disk quota is exceeded"}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
_NAME_CONFLICT = {errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY}
_MAX_CREATE_ATTEMPTS = 50
_STALE_SECONDS = 24 * 3600


@contextmanager
def atomic_write(path: Path, *, durable: bool) -> Iterator[BinaryIO]:
    """Open a temporary file that is renamed to `path` when the block succeeds and removed when it fails.

    Parent folders are created. If `durable`, file and folder entry are fsynced before this returns.
    """
    temporary = path.with_name(TEMPORARY + uuid.uuid4().hex)
    try:
        with _create(temporary) as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        # The original error is re-raised; a temporary file that cannot be removed stays hidden by its name.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    if durable:
        _sync_folder(path.parent)


@contextmanager
def translate_os_errors(action: str, path: Path) -> Iterator[None]:
    """Raise operating system errors as InputError or RetryableError with a suggested fix.

    Args:
        action: the verb for the message, such as "write".
        path: the file or folder that the block accesses.
    """
    try:
        yield
    except OSError as error:
        raise _explain(error, action, path) from error


def remove_leftovers(folder: Path, prefix: str) -> None:
    """Remove temporary files and folders of killed processes that have not changed for a day.

    Args:
        prefix: the prefix of temporary names.

    Raises:
        OSError: the folder cannot be read.
    """
    cutoff = time.time() - _STALE_SECONDS
    with os.scandir(folder) as entries:
        leftovers = [Path(entry.path) for entry in entries if entry.name.startswith(prefix)]
    for path in leftovers:
        if _last_change(path) < cutoff:
            # Best effort: another process may be removing it too, or this user may lack permission.
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with suppress(OSError):
                    path.unlink()


def _last_change(path: Path) -> float:
    """The latest modification time of a file, or of anything in a folder, in seconds since the epoch."""
    newest = 0.0
    for each in (path, *path.rglob("*")):
        with suppress(FileNotFoundError):
            newest = max(newest, each.lstat().st_mtime)
    return newest


def _create(path: Path) -> BinaryIO:
    """Create a file. Deletes in other processes may repeatedly remove its still empty folder, so retry."""
    for _ in range(_MAX_CREATE_ATTEMPTS - 1):
        # mkdir raises FileExistsError too, if the folder exists at first and is then removed.
        with suppress(FileNotFoundError, FileExistsError):
            return _open_new(path)
    return _open_new(path)


def _open_new(path: Path) -> BinaryIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    return open(path, "xb")


def _sync_folder(folder: Path) -> None:
    # Another process may have deleted the object and its folder since the rename.
    with suppress(FileNotFoundError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _explain(error: OSError, action: str, path: Path) -> SkutuneError:
    reason = error.strerror or str(error)
    if error.errno in _DISK_FULL:
        return RetryableError(
            f"cannot {action} {path}: {_DISK_FULL[error.errno]}; free some space or use another folder, then run again"
        )
    if error.errno in _FORBIDDEN:
        return InputError(
            f"cannot {action} {path}: {reason}; grant this user permission to {action} it, or use another folder"
        )
    if error.errno in _NAME_CONFLICT:
        return InputError(
            f"cannot {action} {path}: {reason}; a file exists where a folder is needed, or a folder where a file "
            "is needed: move it away, or use another folder"
        )
    if error.errno == errno.ENAMETOOLONG:
        return InputError(f"cannot {action} {path}: {reason}; use a store with a shorter path")
    if error.errno == errno.EFBIG:
        return InputError(f"cannot {action} {path}: {reason}; raise the limit (`ulimit -f`) or use another file system")
    return RetryableError(f"cannot {action} {path}: {reason}; check the disk or the network share, then run again")
