"""A release's status, read from its ConfigMap: this needs no access to the store."""

from __future__ import annotations

import json
from dataclasses import dataclass

from skutune.cluster.kube import names
from skutune.cluster.kube.api import ClusterApi
from skutune.errors import InputError


@dataclass(frozen=True, slots=True)
class StatusCopy:
    """The JSON document and the table that the controller wrote last."""

    document: str
    summary: str

    @property
    def state(self) -> str:
        """running, done, failed or stopped."""
        return str(json.loads(self.document)["state"])


def release_status(release: str, namespace: str | None = None) -> StatusCopy:
    """The status of a release. `namespace` defaults to the kubeconfig's.

    The ConfigMap is read by name, so that permission to get this one object suffices. If the release's name was
    truncated, it is found by label.

    Raises:
        InputError: there is no such release, or its controller has not started.
    """
    api = ClusterApi(namespace)
    fullname = release if "skutune" in release else f"{release}-skutune"
    config_map = api.get("configmaps", f"{fullname}-status")
    if config_map is None:
        config_maps, _ = api.list_objects("configmaps", dict, f"{names.INSTANCE}={release},{names.COMPONENT}=status")
        config_map = config_maps[0] if config_maps else None
    if config_map is None:
        raise InputError(
            f"release {release!r} not found in namespace {api.namespace!r}; "
            f"list the releases with `helm list -n {api.namespace}`"
        )
    data = config_map.get("data") or {}
    if "status.json" not in data:
        raise InputError(
            f"release {release!r} has not started; look at its controller with `kubectl -n {api.namespace} get pods`"
        )
    return StatusCopy(data["status.json"], data["summary"])
