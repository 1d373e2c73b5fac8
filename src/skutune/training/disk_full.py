"""A disk that filled up while a training wrote to it: each library says it in another way, and few say it at all."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from skutune.errors import RetryableError

_ROOM_BYTES = 1024 * 1024
"""Less than this left on a disk that could not be written: it is full."""

_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def disk_full_as_retryable(what: str, folder: Path) -> Iterator[None]:
    """Raise what libraries raise on a full disk as an error that says so; all else stays what it is.

    Args:
        what: was written, as in "the checkpoint of step 4".
        folder: where.

    Raises:
        RetryableError: the disk is full.
    """
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        if getattr(error, "errno", None) not in _FULL and shutil.disk_usage(folder).free >= _ROOM_BYTES:
            raise
        raise RetryableError(
            f"training: cannot write {what} to {folder}: the disk is full; the checkpoint before it stays. Free some "
            "space or give the training a larger disk, then run again"
        ) from error
