"""Model folders that are created atomically, in a cache shared by several processes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from skutune.store.atomic_files import remove_leftovers, translate_os_errors


@contextmanager
def atomic_folder(folder: Path, doing: str) -> Iterator[Path]:
    """A temporary path that is renamed to `folder` when the block ends, and removed when it fails.

    If another process was faster, its folder stays: it has the same content. Leftovers of killed processes are removed
    once nothing in them has changed for a day.

    Args:
        folder: the name that the finished folder gets; its parents are made.
        doing: what is done, for the name of the unfinished folder, as in "downloading".

    Raises:
        RetryableError: the disk of the cache is full.
        InputError: the cache cannot be written.
    """
    start = f".{doing}-"
    # Only what is done here: the block knows better what its own errors mean.
    with translate_os_errors("write", folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder.parent, start)
        unfinished = tempfile.TemporaryDirectory(dir=folder.parent, prefix=start)
    with unfinished:
        made = Path(unfinished.name) / folder.name
        yield made
        with translate_os_errors("write", folder):
            _move(made, folder)


def _move(made: Path, folder: Path) -> None:
    try:
        made.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
