"""Checkpoints on this machine: which are complete, which is the latest, and which training can resume from one.

A checkpoint is a folder of several files, and a run may be killed between two of them. The marker is written last.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from skutune.errors import InputError

_MARKER = "complete"
_PREFIX = "checkpoint-"
_SPLIT = "split.json"
_BESIDE = "beside"


@dataclass(frozen=True, slots=True)
class Split:
    """How a training is sharded; with ZeRO a checkpoint can only be read with the same sharding."""

    processes: int
    zero_stage: Literal[0, 2, 3]


def step_of(checkpoint: Path) -> int:
    """The optimizer step after which a checkpoint was written."""
    return int(checkpoint.name.removeprefix(_PREFIX))


def complete_checkpoint(folder: Path, step: int, beside: Sequence[Path] = ()) -> Path:
    """Add files and folders, if they exist, to the checkpoint of this step and mark it complete. Returns it.

    They lie in a folder of their own: an adapter directly in a checkpoint would be trained on as a second one.
    """
    checkpoint = folder / f"{_PREFIX}{step}"
    shutil.rmtree(checkpoint / _BESIDE, ignore_errors=True)  # of an earlier start that was killed
    (checkpoint / _BESIDE).mkdir()
    for path in beside:
        if path.is_dir():
            shutil.copytree(path, checkpoint / _BESIDE / path.name, copy_function=os.link)
        elif path.exists():
            shutil.copyfile(path, checkpoint / _BESIDE / path.name)
    (checkpoint / _MARKER).touch()
    return checkpoint


def restore_side_files(checkpoint: Path, folder: Path) -> None:
    """Copy what `complete_checkpoint` added to a checkpoint into a folder."""
    shutil.copytree(checkpoint / _BESIDE, folder, dirs_exist_ok=True)


def newest_checkpoint(folder: Path) -> Path | None:
    """The latest complete checkpoint in a folder of checkpoints, or None."""
    complete = [path for path in folder.glob(f"{_PREFIX}*") if (path / _MARKER).is_file()]
    return max(complete, key=step_of, default=None)


def write_split(folder: Path, split: Split) -> Path:
    """Write how a training is sharded to a file beside its checkpoints. Returns the file."""
    path = folder / _SPLIT
    path.write_text(json.dumps(asdict(split)), encoding="utf-8")
    return path


def split_of(checkpoint: Path) -> Split:
    """How the training that wrote a checkpoint was sharded."""
    return Split(**json.loads((checkpoint / _BESIDE / _SPLIT).read_text(encoding="utf-8")))


def check_split(checkpoint: Path, split: Split) -> None:
    """Check that a training with this sharding can resume from a checkpoint.

    Without ZeRO any number of processes can. With it every process has a shard of the optimizer state.

    Raises:
        InputError: it cannot.
    """
    earlier = split_of(checkpoint)
    if earlier == split or (earlier.zero_stage == split.zero_stage == 0):
        return
    raise InputError(
        f"training: {checkpoint.name} was written by {earlier.processes} processes with ZeRO stage "
        f"{earlier.zero_stage}, and {split.processes} with stage {split.zero_stage} cannot resume it, because the "
        f"optimizer state is sharded. Train with {earlier.processes} again, or start over under another run name"
    )
