"""Outcomes of attempts, stored beside their tasks, so that retry limits hold even if Jobs and pods are deleted."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from skutune.errors import InputError
from skutune.pipeline.stage_folder import StageFolder
from skutune.store.base import ObjectStore


@dataclass(frozen=True, slots=True)
class AttemptOutcome:
    """The outcome of an attempt that did not complete its stage.

    Attributes:
        code: exit code of the class of error that ended it.
        final: whether another attempt would fail the same way.
        avoid: nodes that later attempts must not use.
        submitter: uid of the controller Job. Limits count only its own attempts, so that an upgrade resets them.
        time: seconds since the epoch.
    """

    attempt: int
    code: int
    reason: str
    final: bool = False
    avoid: tuple[str, ...] = ()
    submitter: str = ""
    time: float = 0.0


def write_outcome(store: ObjectStore, folder: str, outcome: AttemptOutcome) -> None:
    """Store an attempt's outcome beside its task."""
    store.put(f"{folder}/outcome-a{outcome.attempt}.json", json.dumps(asdict(outcome), ensure_ascii=False).encode())


def read_outcomes(folder: StageFolder) -> list[AttemptOutcome]:
    """The outcomes in a stage's folder, oldest first. Raises InputError if one is corrupt."""
    outcomes = []
    for key in folder.names("outcome-a"):
        try:
            document = json.loads(folder.store.get(key))
            outcomes.append(AttemptOutcome(**{**document, "avoid": tuple(document["avoid"])}))
        except (ValueError, TypeError, KeyError):
            raise InputError(f"{folder.store.uri}/{key} is corrupt; delete it and try again") from None
    return sorted(outcomes, key=lambda outcome: outcome.attempt)
