"""A release's status as anybody may read it who may read its ConfigMap: the store's secrets are not needed."""

from __future__ import annotations

import json
from dataclasses import dataclass

from skutune.cluster.kube import names
from skutune.cluster.kube.api import ClusterApi
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


def release_status(release: str, namespace: str | None = None) -> StatusCopy:
    """The status of a release; `namespace` is the kubeconfig's where it is None. Raises InputError where there is none.

    Found by its name, so that the right to read this one ConfigMap is enough; a cut name is looked for by label.
    """
    api = ClusterApi(namespace)
    fullname = release if "skutune" in release else f"{release}-skutune"
    found = api.get("configmaps", f"{fullname}-status")
    if found is None:
        listed, _ = api.list_objects("configmaps", dict, f"{names.INSTANCE}={release},{names.COMPONENT}=status")
        found = listed[0] if listed else None
    if found is None:
        raise InputError(
            f"no release {release!r} in namespace {api.namespace!r}; `helm list -n {api.namespace}` names those there"
        )
    data = found.get("data") or {}
    if "status.json" not in data:
        words = f"`kubectl -n {api.namespace} get pods` shows its controller"
        raise InputError(f"release {release!r} has not begun; {words}")
    return StatusCopy(data["status.json"], data["summary"])
