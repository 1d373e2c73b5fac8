"""Threads of the processes that compute: how many each has, and how they wait for each other.

PyTorch's CPU builds ship GNU's OpenMP, whose threads wait at the end of every operation by spinning. When another
process takes a core, the thread that is done burns the rest of its time slice while the one it waits for wants to run:
on two cores with two busy processes a small model fell from hundreds of tokens a second to one or two. Threads that
sleep instead cost such a machine its share and an idle one about a tenth.

Runtimes read these variables once, when PyTorch is loaded. What a user has set himself stays.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping


def wait_passively(environment: MutableMapping[str, str]) -> None:
    """Have OpenMP's threads sleep while they wait: GNU's, LLVM's and Intel's runtime all read this variable."""
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def share_processors(environment: MutableMapping[str, str], processes: int) -> None:
    """Give each of several processes that work at the same time on this machine its share of the processors."""
    if processes > 1:
        environment.setdefault("OMP_NUM_THREADS", str(max(1, processors() // processes)))


def processors() -> int:
    """The processors that this process may use, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
