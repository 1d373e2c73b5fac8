"""The pods of a Job: how they are made, numbered and let go."""

from __future__ import annotations

import copy

from .job_rules import INDEX
from .problems import Object
from .resources import named
from .store import Name, Store, random_suffix

TRACKING = "batch.kubernetes.io/job-tracking"  # the finalizer that holds a pod until it has been counted


def is_tracked(pod: Object) -> bool:
    return TRACKING in (pod["metadata"].get("finalizers") or [])


def untrack(store: Store, name: Name) -> None:
    """Let a pod go."""

    def release(pod: Object) -> None:
        kept = [finalizer for finalizer in pod["metadata"].get("finalizers") or [] if finalizer != TRACKING]
        pod["metadata"]["finalizers"] = kept

    store.update(named("pods"), *name, release)


def is_going(pod: Object) -> bool:
    return bool(pod["metadata"].get("deletionTimestamp")) and pod["status"].get("phase") not in ("Succeeded", "Failed")


def is_ready(pod: Object) -> bool:
    conditions = pod["status"].get("conditions") or []
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def pod_of(job: Object, index: int, failures: int | None) -> Object:
    """The pod of a Job (index -1) or of an index; `failures` of that index are noted where they are limited."""
    template, metadata = copy.deepcopy(job["spec"]["template"]), job["metadata"]
    base = f"{metadata['name']}-{index}-" if index >= 0 else f"{metadata['name']}-"
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": metadata["name"], "uid": metadata["uid"]}
    made: Object = template.setdefault("metadata", {})
    made |= {"generateName": base, "name": base + random_suffix(), "finalizers": [TRACKING]}
    made["ownerReferences"] = [{**owner, "controller": True, "blockOwnerDeletion": True}]
    if index >= 0:
        _number(template, f"{metadata['name']}-{index}", index, failures)
    return {"metadata": made, "spec": template["spec"]}


def _number(template: Object, hostname: str, index: int, failures: int | None) -> None:
    """Everything that carries a pod's completion index."""
    metadata, spec = template["metadata"], template["spec"]
    annotations = metadata["annotations"] = metadata.get("annotations") or {}
    if failures is not None:
        annotations["batch.kubernetes.io/job-index-failure-count"] = str(failures)
    annotations[INDEX] = metadata["labels"][INDEX] = str(index)
    spec.setdefault("hostname", hostname)
    path = {"apiVersion": "v1", "fieldPath": f"metadata.labels['{INDEX}']"}
    for container in [*spec["containers"], *(spec.get("initContainers") or [])]:
        environment = container["env"] = container.get("env") or []
        if not any(variable["name"] == "JOB_COMPLETION_INDEX" for variable in environment):
            environment.append({"name": "JOB_COMPLETION_INDEX", "valueFrom": {"fieldRef": path}})
