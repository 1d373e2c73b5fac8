"""The Job of an attempt, made from the stage's PodTemplate."""

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
"""Exit code of a program that was killed, by the kernel for want of memory or by anybody."""


@dataclass(frozen=True, slots=True)
class ControllerRef:
    """The controller as the cluster knows it; its Job owns all that it makes."""

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
    """The Indexed Job that works a task.

    Args:
        template: the `template` of the stage's PodTemplate.
        avoid: nodes that no pod of it may run on.
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
        # Who trains together ends together: each end of one is an end of all, by whatever reason.
        "backoffLimitPerIndex": plan.retries + (plan.disruptions if plan.gang > 1 else 0),
        **({"maxFailedIndexes": 0} if plan.gang > 1 else {}),
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": {"rules": _failure_rules()},
        "template": pods,
    }
    queue = (template.get("metadata") or {}).get("labels", {}).get(names.QUEUE_NAME)
    notes = {
        names.TASK: task_uri,
        names.FINGERPRINT: task.fingerprint,
        names.DEVICES: str(plan.devices),
        # What is compared with a Job that is there already: its live spec is changed by defaulting and by Kueue.
        names.SPEC_HASH: content_key({**spec, "parallelism": None})[:16],
    }
    metadata = {
        "name": name,
        "namespace": controller.namespace,
        "labels": {**labels, **({names.QUEUE_NAME: queue} if queue else {})},
        "annotations": notes,
        "ownerReferences": [
            {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "name": controller.job_name,
                "uid": controller.job_uid,
                # Kueue takes Jobs with a controlling parent for its children, and OpenShift refuses to block deletion.
                "controller": False,
            }
        ],
    }
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


def _pod_template(
    template: dict[str, Any], job: str, task_uri: str, labels: dict[str, str], devices: int, avoid: Sequence[str]
) -> dict[str, Any]:
    made = copy.deepcopy(template)
    metadata = made.setdefault("metadata", {}) or {}
    made["metadata"] = {
        "labels": {**(metadata.get("labels") or {}), **labels},
        "annotations": {**(metadata.get("annotations") or {}), names.DEVICES: str(devices)},
    }
    made["metadata"]["labels"].pop(names.QUEUE_NAME, None)
    worker = next((each for each in made["spec"]["containers"] if each["name"] == WORKER), None)
    if worker is None:
        raise InputError(
            f"the PodTemplate of {labels[names.STAGE]} has no container {WORKER!r}; install the chart again"
        )
    # First, because a variable sees only those before it.
    worker["env"] = [
        {"name": "SKUTUNE_TASK", "value": task_uri},
        {"name": "SKUTUNE_JOB", "value": job},
        *(worker.get("env") or []),
    ]
    if avoid:
        _avoid(made["spec"], avoid)
    return made


def _avoid(spec: dict[str, Any], nodes: Sequence[str]) -> None:
    """Add to every alternative of the required node affinity that the pod runs on none of these nodes."""
    affinity = spec.setdefault("affinity", {}).setdefault("nodeAffinity", {})
    required = affinity.setdefault("requiredDuringSchedulingIgnoredDuringExecution", {"nodeSelectorTerms": [{}]})
    # matchFields takes one value a requirement.
    others = [{"key": "metadata.name", "operator": "NotIn", "values": [node]} for node in nodes]
    for term in required["nodeSelectorTerms"]:
        term["matchFields"] = [*term.get("matchFields", []), *others]


def _failure_rules() -> list[dict[str, Any]]:
    """First match wins: an eviction must not be read by its exit code."""

    def on_exit(action: str, *codes: int) -> dict[str, Any]:
        return {"action": action, "onExitCodes": {"containerName": WORKER, "operator": "In", "values": list(codes)}}

    return [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        on_exit("Ignore", StoppedError.exit_code),  # a deleted pod, or one that Kueue took back; the controller counts
        on_exit("FailJob", InputError.exit_code),
        on_exit("FailIndex", ShardError.exit_code, DeviceError.exit_code, KILLED),
    ]
