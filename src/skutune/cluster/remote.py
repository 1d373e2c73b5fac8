"""A release's status as anybody may read it who may read its ConfigMap: the store's secrets are not needed."""

from __future__ import annotations

import json
from dataclasses import dataclass

from skutune.cluster import names
from skutune.cluster.api import ClusterApi
from skutune.errors import InputError


@dataclass(frozen=True, slots=True)
class StatusCopy:
    """The document and the table that the controller wrote last."""

    document: str
    summary: str

    @property
    def state(self) -> str:
        """running, done, failed or stopped."""
        return str(json.loads(self.document)["state"])


def release_status(release: str, namespace: str) -> StatusCopy:
    """The status of a release. Raises InputError where there is none."""
    api = ClusterApi(namespace)
    found, _ = api.list_objects("configmaps", dict, f"{names.INSTANCE}={release},{names.COMPONENT}=status")
    if not found:
        raise InputError(
            f"no release {release!r} in namespace {namespace!r}; `helm list -n {namespace}` names those there"
        )
    data = found[0].get("data") or {}
    if "status.json" not in data:
        raise InputError(f"release {release!r} has not begun; `kubectl -n {namespace} get pods` shows its controller")
    return StatusCopy(data["status.json"], data["summary"])
