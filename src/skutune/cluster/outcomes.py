"""How attempts ended: one small object beside each task, so that a limit holds whatever becomes of Jobs and pods."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from skutune.errors import InputError
from skutune.pipeline.stage_folder import StageFolder
from skutune.store.base import ObjectStore


@dataclass(frozen=True, slots=True)
class AttemptOutcome:
    """An attempt that did not finish its stage.

    Attributes:
        code: exit code of the class of error that it ended by.
        final: whether another attempt would end alike.
        avoid: nodes that no further attempt should run on.
        submitter: uid of the controller Job; a limit counts only its own, so that an upgrade begins anew.
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
    """Put an attempt's outcome beside its task."""
    store.put(f"{folder}/outcome-a{outcome.attempt}.json", json.dumps(asdict(outcome), ensure_ascii=False).encode())


def read_outcomes(folder: StageFolder) -> list[AttemptOutcome]:
    """The outcomes in a stage's folder, oldest first. Raises InputError where one is damaged."""
    found = []
    for key in folder.names("outcome-a"):
        try:
            document = json.loads(folder.store.get(key))
            found.append(AttemptOutcome(**{**document, "avoid": tuple(document["avoid"])}))
        except (ValueError, TypeError, KeyError):
            raise InputError(f"{folder.store.uri}/{key}: is damaged; delete it and try again") from None
    return sorted(found, key=lambda outcome: outcome.attempt)
