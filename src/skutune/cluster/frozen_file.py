"""What a controller was told when its Job began, kept in the run's folder.

A scheduled run may outlive an upgrade of its release, which changes the file that its pods mount and removes the
templates of its stages. A pod that takes the place of an evicted one goes on by what the first one read.
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
    """The controller's file, and the pod template of each stage."""

    file: ControllerFile
    templates: Templates


def freeze_inputs(
    store: ObjectStore, run: str, uid: str, file: ControllerFile, read_templates: Callable[[], Templates]
) -> FrozenInputs:
    """The orders of the controller's Job `uid`: those that its first pod kept, or else these, which are kept.

    Raises:
        RetryableError: the store failed.
    """
    key = f"{run}/controller/{uid}.json"
    try:
        kept = json.loads(store.get(key))
        return FrozenInputs(ControllerFile.model_validate(kept["file"]), kept["templates"])
    except NotFoundError:
        orders = FrozenInputs(file, read_templates())
    document = {"file": file.model_dump(mode="json"), "templates": orders.templates}
    store.put(key, json.dumps(document, ensure_ascii=False).encode())
    return orders
