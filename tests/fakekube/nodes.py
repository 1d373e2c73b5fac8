"""Nodes, as tests declare them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .clock import now
from .problems import Object
from .resources import named
from .store import Store

_ROOM = {"cpu": "64", "memory": "512Gi", "ephemeral-storage": "4Ti", "pods": "500"}
_UNREACHABLE = "node.kubernetes.io/unreachable"


@dataclass(frozen=True)
class Node:
    """A node with its labels, taints and devices. `allocatable` is added to plenty of cpu, memory and disk."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    allocatable: Mapping[str, Any] = field(default_factory=dict)
    taints: Sequence[Mapping[str, str]] = ()

    def manifest(self) -> Object:
        amounts = {name: str(amount) for name, amount in {**_ROOM, **self.allocatable}.items()}
        own = {"kubernetes.io/hostname": self.name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
        spec: Object = {"taints": [dict(taint) for taint in self.taints]} if self.taints else {}
        status = {"capacity": amounts, "allocatable": amounts, "conditions": [_ready("True", "KubeletReady")]}
        return {
            "metadata": {"name": self.name, "labels": {**own, **self.labels}},
            "spec": spec,
            "status": status | {"nodeInfo": {"kubeletVersion": "v1.36.2"}},
        }


DEFAULT = Node("node-1", allocatable={"nvidia.com/gpu": 64})


def _ready(status: str, reason: str) -> Object:
    return {"type": "Ready", "status": status, "reason": reason, "lastTransitionTime": now()}


def add(store: Store, node: Node) -> None:
    store.create(named("nodes"), None, node.manifest())


def set_reachable(store: Store, name: str, reachable: bool) -> None:
    """Change the Ready condition and the taints as the node controller does."""

    def set_taints(node: Object) -> None:
        taints = [taint for taint in node["spec"].get("taints") or [] if taint["key"] != _UNREACHABLE]
        if not reachable:
            taints += [{"key": _UNREACHABLE, "effect": effect} for effect in ("NoSchedule", "NoExecute")]
        node["spec"]["taints"] = taints

    def set_condition(node: Object) -> None:
        ready = _ready("True", "KubeletReady") if reachable else _ready("Unknown", "NodeStatusUnknown")
        node["status"]["conditions"] = [ready]

    with store.lock:
        store.update(named("nodes"), None, name, set_taints)
        store.update(named("nodes"), None, name, set_condition, subresource="status")
