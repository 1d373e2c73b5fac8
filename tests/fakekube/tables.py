"""Formats of objects in responses: plain, or as rows of a Table for `kubectl get`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from .calls import Call
from .clock import age, duration, now, seconds_between
from .problems import Object
from .resources import Resource


def typed(resource: Resource, found: Object) -> Object:
    """An object with its kind in front."""
    rest = {key: value for key, value in found.items() if key not in ("apiVersion", "kind")}
    return {"apiVersion": resource.api_version, "kind": resource.kind, **rest}


def is_wanted(call: Call) -> bool:
    """Does the client ask for a Table before anything else?"""
    first = call.headers.get("accept", "").split(",")[0]
    return "as=Table" in first and "json" in first


def table(call: Call, found: list[Object], version: str, metadata: Object | None = None) -> Object:
    """The Table of some objects of one resource."""
    columns = _COLUMNS.get(call.resource.plural, [_NAME, _AGE])
    kind = {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata or {"resourceVersion": version}}
    definitions = [
        {
            "name": c.name,
            "type": c.type,
            "format": "name" if c.name == "Name" else "",
            "description": "",
            "priority": c.priority,
        }
        for c in columns
    ]
    rows = [{"cells": [c.cell(one) for c in columns], "object": _shown(call, one)} for one in found]
    return {**kind, "columnDefinitions": definitions, "rows": rows}


def _shown(call: Call, found: Object) -> Object:
    if call.query.get("includeObject") == "Object":
        return typed(call.resource, found)
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": found["metadata"]}


class Column(NamedTuple):
    """A column and how a cell is made."""

    name: str
    cell: Callable[[Object], Any]
    type: str = "string"
    priority: int = 0  # 1: only with -o wide


_NAME = Column("Name", lambda found: found["metadata"]["name"])
_AGE = Column("Age", lambda found: age(found["metadata"].get("creationTimestamp")))


def _job_status(job: Object) -> str:
    for condition in (job.get("status") or {}).get("conditions") or []:
        if condition["status"] == "True" and condition["type"] in ("Complete", "Failed", "Suspended", "FailureTarget"):
            return str(condition["type"])
    return "Terminating" if job["metadata"].get("deletionTimestamp") else "Running"


def _job_completions(job: Object) -> str:
    done, spec = (job.get("status") or {}).get("succeeded", 0), job["spec"]
    if spec.get("completions") is not None:
        return f"{done}/{spec['completions']}"
    return f"{done}/1 of {spec['parallelism']}" if spec["parallelism"] > 1 else f"{done}/1"


def _job_duration(job: Object) -> str:
    status = job.get("status") or {}
    if not status.get("startTime"):
        return ""
    return duration(seconds_between(status["startTime"], status.get("completionTime") or now()))


def _pod_status(pod: Object) -> str:
    status = pod.get("status") or {}
    shown = status.get("reason") or status.get("phase", "Unknown")
    for state in (one.get("state") or {} for one in status.get("containerStatuses") or []):
        detail = state.get("waiting") or state.get("terminated")
        shown = detail.get("reason", shown) if detail else shown
    return "Terminating" if pod["metadata"].get("deletionTimestamp") else str(shown)


def _pod_ready(pod: Object) -> str:
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    return f"{sum(bool(one.get('ready')) for one in statuses)}/{len(pod['spec']['containers'])}"


def _pod_restarts(pod: Object) -> int:
    return sum(one.get("restartCount", 0) for one in (pod.get("status") or {}).get("containerStatuses") or [])


def _node_status(node: Object) -> str:
    ready = any(
        c["type"] == "Ready" and c["status"] == "True" for c in (node.get("status") or {}).get("conditions") or []
    )
    return ("Ready" if ready else "NotReady") + (",SchedulingDisabled" if node["spec"].get("unschedulable") else "")


def _event_object(event: Object) -> str:
    about = event["involvedObject"]
    return f"{about.get('kind', '').lower()}/{about.get('name', '')}"


def _active(cron: Object) -> int:
    return len((cron.get("status") or {}).get("active") or [])


_COLUMNS: dict[str, list[Column]] = {
    "jobs": [
        _NAME,
        Column("Status", _job_status),
        Column("Completions", _job_completions),
        Column("Duration", _job_duration),
        _AGE,
        Column(
            "Images",
            lambda job: ",".join(c["image"] for c in job["spec"]["template"]["spec"]["containers"]),
            "string",
            1,
        ),
    ],
    "pods": [
        _NAME,
        Column("Ready", _pod_ready),
        Column("Status", _pod_status),
        Column("Restarts", _pod_restarts, "integer"),
        _AGE,
        Column("IP", lambda pod: (pod.get("status") or {}).get("podIP") or "<none>", "string", 1),
        Column("Node", lambda pod: pod["spec"].get("nodeName") or "<none>", "string", 1),
    ],
    "cronjobs": [
        _NAME,
        Column("Schedule", lambda cron: cron["spec"]["schedule"]),
        Column("Timezone", lambda cron: cron["spec"].get("timeZone") or "<none>"),
        Column("Suspend", lambda cron: str(bool(cron["spec"].get("suspend")))),
        Column("Active", _active, "integer"),
        Column(
            "Last Schedule", lambda c: age(t) if (t := (c.get("status") or {}).get("lastScheduleTime")) else "<none>"
        ),
        _AGE,
    ],
    "nodes": [
        _NAME,
        Column("Status", _node_status),
        Column("Roles", lambda node: "<none>"),
        _AGE,
        Column("Version", lambda node: ((node.get("status") or {}).get("nodeInfo") or {}).get("kubeletVersion", "")),
    ],
    "configmaps": [
        _NAME,
        Column("Data", lambda m: len(m.get("data") or {}) + len(m.get("binaryData") or {}), "integer"),
        _AGE,
    ],
    "secrets": [
        _NAME,
        Column("Type", lambda secret: secret.get("type", "Opaque")),
        Column("Data", lambda secret: len(secret.get("data") or {}), "integer"),
        _AGE,
    ],
    "namespaces": [_NAME, Column("Status", lambda n: (n.get("status") or {}).get("phase", "")), _AGE],
    "podtemplates": [
        _NAME,
        Column("Containers", lambda t: ",".join(c["name"] for c in t["template"]["spec"]["containers"])),
        Column("Images", lambda t: ",".join(c["image"] for c in t["template"]["spec"]["containers"])),
        Column(
            "Pod Labels",
            lambda t: ",".join(f"{k}={v}" for k, v in (t["template"]["metadata"].get("labels") or {}).items()),
        ),
    ],
    "events": [
        Column(
            "Last Seen", lambda event: age(event.get("lastTimestamp") or event["metadata"].get("creationTimestamp"))
        ),
        Column("Type", lambda event: event.get("type", "Normal")),
        Column("Reason", lambda event: event.get("reason", "")),
        Column("Object", _event_object),
        Column("Message", lambda event: (event.get("message") or "").strip()),
        Column("Name", lambda event: event["metadata"]["name"], "string", 1),
    ],
}
