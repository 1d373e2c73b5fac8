"""Checkpoints: which of them are whole, and which is the newest.

A checkpoint is a folder of several files, and a run may be killed between two of them. The marker is written last.
"""

from __future__ import annotations

from pathlib import Path

_MARKER = "complete"
_PREFIX = "checkpoint-"


def step_of(checkpoint: Path) -> int:
    """The optimizer step after which a checkpoint was written."""
    return int(checkpoint.name.removeprefix(_PREFIX))


def mark_complete(folder: Path, step: int) -> Path:
    """Say that the checkpoint of this step is whole; returns it."""
    checkpoint = folder / f"{_PREFIX}{step}"
    (checkpoint / _MARKER).touch()
    return checkpoint


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint in a folder of checkpoints, or None."""
    found = [path for path in folder.glob(f"{_PREFIX}*") if (path / _MARKER).is_file()]
    return max(found, key=step_of, default=None)
