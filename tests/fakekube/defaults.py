"""Defaulting of objects, as far as clients can see it."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable
from typing import Any

from .problems import Object

UNLIMITED = 2147483647


def fill_in(plural: str, found: Object) -> None:
    """Set defaults in place. `metadata.name` and `metadata.uid` are there already."""
    if plural in ("jobs", "pods", "namespaces"):
        found.setdefault("spec", {})
    if default := _DEFAULTS.get(plural):
        default(found)


def pod_spec(spec: Object) -> None:
    """Defaults of a pod's spec."""
    _set(spec, restartPolicy="Always", dnsPolicy="ClusterFirst", schedulerName="default-scheduler")
    _set(spec, terminationGracePeriodSeconds=30, securityContext={})
    if "serviceAccountName" in spec:
        spec.setdefault("serviceAccount", spec["serviceAccountName"])
    for container in [*(spec.get("containers") or []), *(spec.get("initContainers") or [])]:
        _container(container)
    for volume in spec.get("volumes") or []:
        for source in ("configMap", "secret", "downwardAPI", "projected"):
            if isinstance(volume.get(source), dict):
                volume[source].setdefault("defaultMode", 420)


def _container(container: Object) -> None:
    image = container.get("image", "").rpartition("/")[2]
    latest = "@" not in image and (":" not in image or image.endswith(":latest"))
    _set(container, imagePullPolicy="Always" if latest else "IfNotPresent", resources={})
    _set(container, terminationMessagePath="/dev/termination-log", terminationMessagePolicy="File")
    limits = container["resources"].get("limits") or {}
    if limits:
        requests = container["resources"].setdefault("requests", {})
        _set(requests, **limits)
    for port in container.get("ports") or []:
        port.setdefault("protocol", "TCP")
    for variable in container.get("env") or []:
        if reference := (variable.get("valueFrom") or {}).get("fieldRef"):
            reference.setdefault("apiVersion", "v1")


def _pod(pod: Object) -> None:
    spec = pod["spec"]
    spec.setdefault("serviceAccountName", "default")
    pod_spec(spec)
    _set(spec, enableServiceLinks=True, priority=0, preemptionPolicy="PreemptLowerPriority")
    given = spec["tolerations"] = spec.get("tolerations") or []
    for taint in ("not-ready", "unreachable"):
        key = f"node.kubernetes.io/{taint}"
        if not any(one.get("key") in (key, None, "") and one.get("effect") in ("NoExecute", None, "") for one in given):
            given.append({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300})
    resources = [container.get("resources") or {} for container in spec.get("containers") or []]
    asked = any(part.get("requests") or part.get("limits") for part in resources)
    equal = all(part.get("limits") and part.get("requests") == part["limits"] for part in resources)
    quality = "Guaranteed" if asked and equal else "Burstable" if asked else "BestEffort"
    _set(pod.setdefault("status", {}), phase="Pending", qosClass=quality)


def _job(job: Object) -> None:
    spec, metadata = job["spec"], job["metadata"]
    job_spec(spec)
    marks = {"controller-uid": metadata["uid"], "job-name": metadata["name"]}
    marks |= {f"batch.kubernetes.io/{key}": value for key, value in marks.items()}
    template_labels = _labels(spec["template"].setdefault("metadata", {}))
    template_labels |= marks
    labels = metadata.get("labels")
    if labels is None:
        metadata["labels"] = dict(template_labels)
    else:
        labels |= marks
    spec.setdefault("selector", {"matchLabels": {"batch.kubernetes.io/controller-uid": metadata["uid"]}})


def job_spec(spec: Object) -> None:
    """Defaults of a Job's spec, also inside a CronJob."""
    if spec.get("parallelism") is None and spec.get("completions") is None:
        spec["completions"] = 1
    limit = UNLIMITED if spec.get("backoffLimitPerIndex") is not None else 6
    _set(spec, parallelism=1, completionMode="NonIndexed", suspend=False, manualSelector=False, backoffLimit=limit)
    _set(spec, podReplacementPolicy="Failed" if spec.get("podFailurePolicy") else "TerminatingOrFailed")
    for rule in (spec.get("podFailurePolicy") or {}).get("rules") or []:
        for condition in rule.get("onPodConditions") or []:
            condition.setdefault("status", "True")
    template = spec.setdefault("template", {})
    if "restartPolicy" in (template.get("spec") or {}):  # a Job has no default for it: validation asks
        pod_spec(template["spec"])


def _cron_job(cron: Object) -> None:
    spec = cron.setdefault("spec", {})
    _set(spec, concurrencyPolicy="Allow", suspend=False, successfulJobsHistoryLimit=3, failedJobsHistoryLimit=1)
    template = spec.setdefault("jobTemplate", {})
    inner = template.setdefault("spec", {}).setdefault("template", {})
    if "restartPolicy" in (inner.get("spec") or {}):
        pod_spec(inner["spec"])


def _pod_template(found: Object) -> None:
    template = found.setdefault("template", {})
    template.setdefault("metadata", {})
    pod_spec(template.setdefault("spec", {}))


def _service(service: Object) -> None:
    spec = service.get("spec") or {}
    address = f"10.0.{random.randrange(255)}.{random.randrange(1, 255)}"
    _set(spec, type="ClusterIP", clusterIP=address, sessionAffinity="None")
    for port in spec.get("ports") or []:
        _set(port, protocol="TCP", targetPort=port.get("port"))


def _secret(secret: Object) -> None:
    secret.setdefault("type", "Opaque")
    for key, value in (secret.pop("stringData", None) or {}).items():
        secret.setdefault("data", {})[key] = base64.b64encode(value.encode()).decode()


def _namespace(namespace: Object) -> None:
    namespace["spec"].setdefault("finalizers", ["kubernetes"])
    _labels(namespace["metadata"])["kubernetes.io/metadata.name"] = namespace["metadata"]["name"]
    _set(namespace.setdefault("status", {}), phase="Active")


def _claim(claim: Object) -> None:
    _set(claim.setdefault("spec", {}), volumeMode="Filesystem")
    _set(claim.setdefault("status", {}), phase="Pending")


def _network_policy(policy: Object) -> None:
    spec = policy.get("spec") or {}
    for rule in [*(spec.get("ingress") or []), *(spec.get("egress") or [])]:
        for port in rule.get("ports") or []:
            port.setdefault("protocol", "TCP")


def _workload(found: Object) -> None:
    spec = found.get("spec") or {}
    spec.setdefault("replicas", 1)
    pod_spec(spec.setdefault("template", {}).setdefault("spec", {}))


def _set(target: Object, **values: Any) -> None:
    for key, value in values.items():
        if target.get(key) is None:
            target[key] = value


def _labels(metadata: Object) -> dict[str, str]:
    if metadata.get("labels") is None:
        metadata["labels"] = {}
    labels: dict[str, str] = metadata["labels"]
    return labels


_DEFAULTS: dict[str, Callable[[Object], None]] = {
    "pods": _pod,
    "jobs": _job,
    "cronjobs": _cron_job,
    "podtemplates": _pod_template,
    "services": _service,
    "secrets": _secret,
    "namespaces": _namespace,
    "persistentvolumeclaims": _claim,
    "networkpolicies": _network_policy,
    "deployments": _workload,
    "statefulsets": _workload,
}
