"""Model folders that are created atomically, in a cache shared by several processes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from skutune.store.atomic_files import remove_leftovers, translate_os_errors


@contextmanager
def atomic_folder(folder: Path, doing: str) -> Iterator[Path]:
    """Yield a temporary path that is renamed to `folder` when the block succeeds, and removed when it fails.

    If another process has created the folder in the meantime, that folder is kept, as its content is the same.
    Leftovers of killed processes are removed once they have been unchanged for a day.

    Args:
        folder: the final path; parent folders are created.
        doing: the activity in the name of the temporary folder, such as "downloading".

    Raises:
        RetryableError: the disk of the cache is full.
        InputError: the cache cannot be written.
    """
    prefix = f".{doing}-"
    # Errors of the block itself are left to the caller.
    with translate_os_errors("write", folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder.parent, prefix)
        parent = tempfile.TemporaryDirectory(dir=folder.parent, prefix=prefix)
    with parent:
        temporary = Path(parent.name) / folder.name
        yield temporary
        with translate_os_errors("write", folder):
            _move(temporary, folder)


def _move(temporary: Path, folder: Path) -> None:
    try:
        temporary.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
