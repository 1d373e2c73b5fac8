"""Files that appear whole or not at all, and what the operating system's errors mean for a person.

A file is written under another name in the same folder, so that the rename which makes it visible stays inside one
file system and is atomic.
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

_FULL = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the disk quota is used up"}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
_IN_THE_WAY = {errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY}
_MOST_TRIES = 50
_LEFTOVER_SECONDS = 24 * 3600


@contextmanager
def atomic_write(path: Path, *, durable: bool) -> Iterator[BinaryIO]:
    """A new file that takes the name `path` when the block ends, and is removed when the block fails.

    Parents are made. `durable`: the bytes and the name are on the disk before this returns.
    """
    temporary = path.with_name(TEMPORARY + uuid.uuid4().hex)
    try:
        with _created(temporary) as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        # Whatever went wrong is raised again; a file that cannot be removed either stays hidden by its name.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    if durable:
        _sync_folder(path.parent)


@contextmanager
def translate_os_errors(action: str, path: Path) -> Iterator[None]:
    """Raise the operating system's errors as InputError or RetryableError that say what to do.

    Args:
        action: what was tried, as in "write".
        path: where.
    """
    try:
        yield
    except OSError as error:
        raise _explain(error, action, path) from error


def remove_leftovers(folder: Path, prefix: str) -> None:
    """Remove the unfinished files and folders of killed processes, once nothing in them has changed for a day.

    Args:
        prefix: what the names of unfinished files and folders start with.

    Raises:
        OSError: the folder cannot be read.
    """
    oldest = time.time() - _LEFTOVER_SECONDS
    with os.scandir(folder) as entries:
        leftovers = [Path(entry.path) for entry in entries if entry.name.startswith(prefix)]
    for path in leftovers:
        if _last_change(path) < oldest:
            # Another process may remove it at the same time, and this user may not be allowed to: no reason to stop.
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with suppress(OSError):
                    path.unlink()


def _last_change(path: Path) -> float:
    """The time of the last change of a file or of anything in a folder, in seconds since the epoch."""
    newest = 0.0
    for each in (path, *path.rglob("*")):
        with suppress(FileNotFoundError):
            newest = max(newest, each.lstat().st_mtime)
    return newest


def _created(path: Path) -> BinaryIO:
    """A new file. Deletes in other processes may remove its empty folder again and again just after it was made."""
    for _ in range(_MOST_TRIES - 1):
        # mkdir finds the folder there and then gone: that, too, it reports as a name in the way.
        with suppress(FileNotFoundError, FileExistsError):
            return _open_new(path)
    return _open_new(path)


def _open_new(path: Path) -> BinaryIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    return open(path, "xb")


def _sync_folder(folder: Path) -> None:
    # Another process may have deleted the object, and with it the folder, since the rename.
    with suppress(FileNotFoundError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _explain(error: OSError, action: str, path: Path) -> SkutuneError:
    reason = error.strerror or str(error)
    if error.errno in _FULL:
        return RetryableError(
            f"cannot {action} {path}: {_FULL[error.errno]}; free some space or name another folder, then run again"
        )
    if error.errno in _FORBIDDEN:
        return InputError(
            f"cannot {action} {path}: {reason}; give this user the right to {action} it, or name another folder"
        )
    if error.errno in _IN_THE_WAY:
        return InputError(
            f"cannot {action} {path}: {reason}; a file lies where a folder is needed, or a folder where a file is: "
            "move it away, or name another folder"
        )
    if error.errno == errno.ENAMETOOLONG:
        return InputError(f"cannot {action} {path}: {reason}; use a store with a shorter path")
    if error.errno == errno.EFBIG:
        return InputError(f"cannot {action} {path}: {reason}; raise the limit (`ulimit -f`) or use another file system")
    return RetryableError(f"cannot {action} {path}: {reason}; check the disk or the network share, then run again")
