"""One line about each run of a store: its state, how far it is, when it last changed, and how good its model is."""

from __future__ import annotations

from dataclasses import dataclass

from skutune.pipeline.graph import STAGES
from skutune.pipeline.manifests import read_manifest
from skutune.pipeline.runs import RunInfo, load_run
from skutune.pipeline.status import load_status, run_state
from skutune.store.base import ObjectStore


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run in a list of runs.

    Attributes:
        state: see `RunState`.
        done: completed stages.
        stages: stages of a whole run.
        working: stages in progress.
        time: of the last change of its status, in seconds since the epoch; None before the first.
        name_agrees: share of the references in the tuned model's unconstrained answers whose name and id agree; None
            before the evaluation.
    """

    run: str
    state: str
    done: int
    stages: int
    working: tuple[str, ...]
    time: float | None
    name_agrees: float | None


def summarize_run(store: ObjectStore, run: str) -> RunSummary:
    """The summary of a run. Raises InputError if its record is corrupt or of another version."""
    info, status = load_run(store, run), load_status(store, run)
    return RunSummary(
        run=run,
        state=run_state(store, run).state,
        done=len((info.stages if info else None) or {}),
        stages=len(STAGES),
        working=tuple(status.get("working", {})),
        time=status.get("time"),
        name_agrees=_name_agrees(store, info),
    )


def _name_agrees(store: ObjectStore, info: RunInfo | None) -> float | None:
    fingerprint = info.fingerprint("evaluate") if info else None
    if info is None or fingerprint is None:
        return None
    manifest = read_manifest(store, f"{info.run}/evaluate/{fingerprint}")
    shares = manifest.figures.get("name_agrees", {}) if manifest else {}
    share: float | None = shares.get("tuned")
    return share
