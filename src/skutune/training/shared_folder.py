"""The folder that the training processes of one machine share."""

from __future__ import annotations

from pathlib import Path

import torch
from accelerate import PartialState


def folder_of_first(own: Path) -> Path:
    """The folder that the first process of this machine named here; each process names one, and all ask together."""
    state = PartialState()
    if state.num_processes == 1:
        return own
    named: list[str] = [""] * state.num_processes
    torch.distributed.all_gather_object(named, str(own))
    # Processes are numbered machine by machine.
    return Path(named[state.process_index - state.local_process_index])
