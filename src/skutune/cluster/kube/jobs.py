"""Builds the Job of an attempt from the stage's PodTemplate."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from skutune.cluster.kube import names
from skutune.cluster.kube.views import WORKER
from skutune.cluster.plan import StagePlan
from skutune.errors import DeviceError, InputError, ShardError, StoppedError
from skutune.hashing import content_key
from skutune.pipeline.manifests import Task

KILLED = 137
"""Exit code after SIGKILL, from the OOM killer or anything else."""


@dataclass(frozen=True, slots=True)
class ControllerRef:
    """The controller's own Job, which owns everything that it creates."""

    namespace: str
    release: str
    job_name: str
    job_uid: str


def build_job(
    template: dict[str, Any],
    task: Task,
    task_uri: str,
    plan: StagePlan,
    parallelism: int,
    avoid: Sequence[str],
    controller: ControllerRef,
    store_uri: str,
) -> dict[str, Any]:
    """The Indexed Job of a task.

    Args:
        template: the `template` of the stage's PodTemplate.
        avoid: nodes that its pods must not run on.

    Raises:
        InputError: the template has no container `worker`.
    """
    name = names.job_name(
        controller.namespace, controller.release, store_uri, task.run, task.stage, task.fingerprint, task.attempt
    )
    labels = names.stage_labels(controller.release, task.run, task.stage, task.attempt)
    completions = plan.nodes if plan.nodes > 1 else len(task.shards)
    pods = _pod_template(template, name, task_uri, labels, plan.devices, avoid)
    spec = {
        "completionMode": "Indexed",
        "completions": completions,
        "parallelism": parallelism,
        # In a distributed training, one pod that ends takes the others with it; evictions then count as failures too.
        "backoffLimitPerIndex": plan.retries + (plan.disruptions if plan.gang > 1 else 0),
        **({"maxFailedIndexes": 0} if plan.gang > 1 else {}),
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": {"rules": _pod_failure_policy_rules()},
        "template": pods,
    }
    queue = (template.get("metadata") or {}).get("labels", {}).get(names.QUEUE_NAME)
    annotations = {
        names.TASK: task_uri,
        names.FINGERPRINT: task.fingerprint,
        names.DEVICES: str(plan.devices),
        # Compared with an existing Job instead of its live spec, which defaulting and Kueue change.
        names.SPEC_HASH: content_key({**spec, "parallelism": None})[:16],
    }
    metadata = {
        "name": name,
        "namespace": controller.namespace,
        "labels": {**labels, **({names.QUEUE_NAME: queue} if queue else {})},
        "annotations": annotations,
        "ownerReferences": [
            {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "name": controller.job_name,
                "uid": controller.job_uid,
                # Kueue skips Jobs with a controlling owner. OpenShift rejects blockOwnerDeletion.
                "controller": False,
            }
        ],
    }
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


def _pod_template(
    template: dict[str, Any], job: str, task_uri: str, labels: dict[str, str], devices: int, avoid: Sequence[str]
) -> dict[str, Any]:
    pod_template = copy.deepcopy(template)
    metadata = pod_template.setdefault("metadata", {}) or {}
    pod_template["metadata"] = {
        "labels": {**(metadata.get("labels") or {}), **labels},
        "annotations": {**(metadata.get("annotations") or {}), names.DEVICES: str(devices)},
    }
    pod_template["metadata"]["labels"].pop(names.QUEUE_NAME, None)
    worker = next((each for each in pod_template["spec"]["containers"] if each["name"] == WORKER), None)
    if worker is None:
        raise InputError(
            f"the PodTemplate of stage {labels[names.STAGE]} has no container {WORKER!r}; run `helm upgrade` again"
        )
    # First, because a variable can reference only those before it.
    worker["env"] = [
        {"name": "SKUTUNE_TASK", "value": task_uri},
        {"name": "SKUTUNE_JOB", "value": job},
        *(worker.get("env") or []),
    ]
    if avoid:
        _avoid(pod_template["spec"], avoid)
    return pod_template


def _avoid(spec: dict[str, Any], nodes: Sequence[str]) -> None:
    """Exclude nodes in every term of the required node affinity."""
    affinity = spec.setdefault("affinity", {}).setdefault("nodeAffinity", {})
    required = affinity.setdefault("requiredDuringSchedulingIgnoredDuringExecution", {"nodeSelectorTerms": [{}]})
    # matchFields allows one value per requirement.
    exclusions = [{"key": "metadata.name", "operator": "NotIn", "values": [node]} for node in nodes]
    for term in required["nodeSelectorTerms"]:
        term["matchFields"] = [*term.get("matchFields", []), *exclusions]


def _pod_failure_policy_rules() -> list[dict[str, Any]]:
    """The first match wins, so that an eviction is never classified by its exit code."""

    def on_exit(action: str, *codes: int) -> dict[str, Any]:
        return {"action": action, "onExitCodes": {"containerName": WORKER, "operator": "In", "values": list(codes)}}

    return [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        on_exit("Ignore", StoppedError.exit_code),  # a deleted or preempted pod; the controller counts these
        on_exit("FailJob", InputError.exit_code),
        on_exit("FailIndex", ShardError.exit_code, DeviceError.exit_code, KILLED),
    ]
