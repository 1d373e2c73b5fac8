"""Disruptions that a pod itself is not to blame for: its condition DisruptionTarget says so."""

from __future__ import annotations

from .clock import now
from .deletion import delete
from .problems import Object
from .resources import named
from .store import Store


def evict(store: Store, namespace: str, name: str, options: Object | None = None) -> None:
    """What the eviction API does: the condition, then a deletion with the pod's grace period. Raises ApiError."""
    with store.lock:
        mark_disrupted(store, namespace, name, "EvictionByEvictionAPI", "Eviction API: evicting")
        delete(store, named("pods"), namespace, name, options)


def mark_disrupted(store: Store, namespace: str, name: str, reason: str, message: str) -> None:
    """Set the condition DisruptionTarget."""

    def change(pod: Object) -> None:
        conditions = pod["status"].setdefault("conditions", [])
        conditions[:] = [one for one in conditions if one["type"] != "DisruptionTarget"]
        marked = {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message}
        conditions.append({**marked, "lastProbeTime": None, "lastTransitionTime": now()})

    store.update(named("pods"), namespace, name, change, subresource="status")
