"""The controller's inputs as they were when its Job started, saved in the run's folder.

A scheduled run may outlive an upgrade of its release, which changes the mounted controller file and deletes the stages'
PodTemplates. A replacement for an evicted controller pod continues with the inputs that the first pod saved.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from skutune.cluster.plan import ControllerFile
from skutune.store.base import NotFoundError, ObjectStore

Templates = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class FrozenInputs:
    """The controller's file and the pod template of each stage."""

    file: ControllerFile
    templates: Templates


def freeze_inputs(
    store: ObjectStore, run: str, uid: str, file: ControllerFile, read_templates: Callable[[], Templates]
) -> FrozenInputs:
    """The inputs of the controller Job `uid`: the saved ones, or else the given ones, which are then saved.

    Raises:
        RetryableError: the store failed.
    """
    key = f"{run}/controller/{uid}.json"
    try:
        saved = json.loads(store.get(key))
        return FrozenInputs(ControllerFile.model_validate(saved["file"]), saved["templates"])
    except NotFoundError:
        inputs = FrozenInputs(file, read_templates())
    document = {"file": file.model_dump(mode="json"), "templates": inputs.templates}
    store.put(key, json.dumps(document, ensure_ascii=False).encode())
    return inputs
