"""Manifests for the tests of the cluster double, and short looks at what became of them."""

from __future__ import annotations

from typing import Any

from tests.fakekube import Cluster

SHELL = {"name": "m", "image": "registry.example/tools:1"}


def pod(name: str, script: str = "true", **spec: Any) -> dict[str, Any]:
    """A pod that runs a shell script; `spec` is merged over its own, `container` over its only container."""
    container = {**SHELL, "command": ["sh", "-c", script], **spec.pop("container", {})}
    whole = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 2, "containers": [container], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": whole}


def job(name: str, script: str = "true", pod_spec: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    """A Job of such pods."""
    template = {"spec": pod(name, script, **(pod_spec or {}))["spec"]}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {**spec, "template": template}}


def end_of(cluster: Cluster, name: str, seconds: float = 20) -> str:
    """Complete or Failed, once the Job is."""

    def ended() -> str | None:
        conditions = cluster.get("jobs", name)["status"].get("conditions", [])
        ends = [one["type"] for one in conditions if one["type"] in ("Complete", "Failed") and one["status"] == "True"]
        return ends[0] if ends else None

    end = cluster.wait(ended, seconds)
    assert end is not None
    return end


def phase_of(cluster: Cluster, name: str) -> str:
    return str(cluster.get("pods", name)["status"]["phase"])


def wait_for_phase(cluster: Cluster, name: str, phase: str, seconds: float = 15) -> dict[str, Any]:
    """The pod, once it is in this phase."""
    cluster.wait(lambda: phase_of(cluster, name) == phase, seconds)
    return cluster.get("pods", name)


def container_state(found: dict[str, Any]) -> dict[str, Any]:
    state: dict[str, Any] = found["status"]["containerStatuses"][0]["state"]
    return state


def pods_of(cluster: Cluster, name: str) -> list[dict[str, Any]]:
    return list(cluster.list("pods", "default", {"batch.kubernetes.io/job-name": name}))


def events_about(cluster: Cluster, name: str) -> list[tuple[str, str]]:
    """(reason, message) of the Events about an object."""
    return [(e["reason"], e["message"]) for e in cluster.list("events") if e["involvedObject"]["name"] == name]
