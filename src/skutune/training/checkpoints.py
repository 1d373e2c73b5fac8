"""Checkpoints on this machine: which of them are whole, which is the newest, and who can go on from one.

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
    """How a training is split up: what a checkpoint of it can only be read with, where ZeRO's stage is not 0."""

    processes: int
    zero_stage: Literal[0, 2, 3]


def step_of(checkpoint: Path) -> int:
    """The optimizer step after which a checkpoint was written."""
    return int(checkpoint.name.removeprefix(_PREFIX))


def complete_checkpoint(folder: Path, step: int, beside: Sequence[Path] = ()) -> Path:
    """Add files and folders, where they exist, to the checkpoint of this step and say that it is whole; returns it.

    They lie in a folder of their own: an adapter directly in a checkpoint would be trained on as a second one.
    """
    checkpoint = folder / f"{_PREFIX}{step}"
    shutil.rmtree(checkpoint / _BESIDE, ignore_errors=True)  # of an earlier start that did not finish it
    (checkpoint / _BESIDE).mkdir()
    for path in beside:
        if path.is_dir():
            shutil.copytree(path, checkpoint / _BESIDE / path.name, copy_function=os.link)
        elif path.exists():
            shutil.copyfile(path, checkpoint / _BESIDE / path.name)
    (checkpoint / _MARKER).touch()
    return checkpoint


def restore_side_files(checkpoint: Path, folder: Path) -> None:
    """Copy what `complete` added to a checkpoint into a folder."""
    shutil.copytree(checkpoint / _BESIDE, folder, dirs_exist_ok=True)


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint in a folder of checkpoints, or None."""
    found = [path for path in folder.glob(f"{_PREFIX}*") if (path / _MARKER).is_file()]
    return max(found, key=step_of, default=None)


def write_split(folder: Path, split: Split) -> Path:
    """Write down how a training is split up, to lie beside its checkpoints; returns the file."""
    path = folder / _SPLIT
    path.write_text(json.dumps(asdict(split)), encoding="utf-8")
    return path


def split_of(checkpoint: Path) -> Split:
    """How the training that wrote a checkpoint was split up."""
    return Split(**json.loads((checkpoint / _BESIDE / _SPLIT).read_text(encoding="utf-8")))


def check_split(checkpoint: Path, split: Split) -> None:
    """See that a training that is split up so can go on from a checkpoint.

    Without ZeRO any number of processes can. With it each of them holds a piece of the optimizer's state.

    Raises:
        InputError: it cannot.
    """
    earlier = split_of(checkpoint)
    if earlier == split or (earlier.zero_stage == split.zero_stage == 0):
        return
    raise InputError(
        f"training: {checkpoint.name} was written by {earlier.processes} processes with ZeRO stage "
        f"{earlier.zero_stage}, and {split.processes} with stage {split.zero_stage} cannot read it: each holds a piece "
        f"of the optimizer's state. Train with {earlier.processes} again, or name another run to begin anew"
    )
