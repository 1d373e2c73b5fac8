"""Full-disk errors during training, which every library reports differently or not at all."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from skutune.errors import RetryableError

_ROOM_BYTES = 1024 * 1024
"""A disk with less free space than this after a failed write counts as full."""

_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def disk_full_as_retryable(what: str, folder: Path) -> Iterator[None]:
    """Turn the errors of libraries on a full disk into RetryableError; other errors pass through.

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
            f"training: cannot write {what} to {folder}: the disk is full; the previous checkpoint is kept. Free "
            "some space or use a larger disk, then run again"
        ) from error
