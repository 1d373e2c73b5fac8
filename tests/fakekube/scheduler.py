"""The scheduler: binds pods to nodes, or sets the real scheduler's message for unschedulable pods."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

from . import events, quantities
from .clock import now
from .problems import Object
from .quantities import Amounts
from .resources import named
from .selectors import Requirement
from .store import Name, Store

_SOURCE = "default-scheduler"
_HOPELESS = "Preemption is not helpful for scheduling."
_NO_VICTIMS = "No preemption victims found for incoming pod."


class Scheduler:
    """One pass binds whatever fits. `peaks` holds the most that pods ever held of each resource at a time."""

    def __init__(self, store: Store):
        self.store = store
        self.peaks: Amounts = {}

    def sync(self) -> None:
        waiting = [(name, pod) for name, pod in self.store.table("pods").items() if _is_waiting(pod)]
        if not waiting:
            return
        used = self.usage()
        for name, pod in sorted(waiting, key=_order):
            reasons: Counter[str] = Counter()
            chosen = self._choose(pod, used, reasons)
            if chosen is None:
                self._refuse(name, pod, reasons)
            else:
                quantities.add(used.setdefault(chosen, {}), _asked(pod))
                self._bind(name, pod, chosen)
                self._note_peak(used)

    def usage(self) -> dict[str, Amounts]:
        """What pods hold of each node: bound and not ended, terminating ones too."""
        used: dict[str, Amounts] = {}
        for pod in self.store.table("pods").values():
            if holds_devices(pod):
                quantities.add(used.setdefault(pod["spec"]["nodeName"], {}), _asked(pod))
        return used

    def in_flight(self, resource: str) -> int:
        with self.store.lock:
            return int(sum(amounts.get(resource, 0) for amounts in self.usage().values()))

    def _note_peak(self, used: dict[str, Amounts]) -> None:
        held: Amounts = {}
        for amounts in used.values():
            quantities.add(held, amounts)
        for resource, amount in held.items():
            self.peaks[resource] = max(self.peaks.get(resource, Decimal(0)), amount)

    def _choose(self, pod: Object, used: dict[str, Amounts], reasons: Counter[str]) -> str | None:
        """A node, or None with the reasons counted, each with its prospects of preemption behind a line break."""
        if missing := self._missing_claim(pod):
            reasons[f"{missing}\n{_HOPELESS}"] = 0
            return None
        fitting = []
        for node in self.store.table("nodes").values():
            name = node["metadata"]["name"]
            why = _obstacles(pod, node, used.get(name, {}))
            reasons.update(why)
            if not why:
                fitting.append((_load(used.get(name, {}), _asked(pod)), name))
        return min(fitting)[1] if fitting else None

    def _missing_claim(self, pod: Object) -> str | None:
        for volume in pod["spec"].get("volumes") or []:
            claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
            if claim and (pod["metadata"]["namespace"], claim) not in self.store.table("persistentvolumeclaims"):
                return f'persistentvolumeclaim "{claim}" not found'
        return None

    def _bind(self, name: Name, pod: Object, node: str) -> None:
        pods = named("pods")
        self.store.update(pods, *name, lambda found: found["spec"].update(nodeName=node))
        self._set_condition(name, {"status": "True"})
        told = f"Successfully assigned {name[0]}/{name[1]} to {node}"
        events.emit(self.store, pods, pod, "Scheduled", told, source=_SOURCE)

    def _refuse(self, name: Name, pod: Object, reasons: Counter[str]) -> None:
        message = _sentence(len(self.store.table("nodes")), reasons)
        told = next(
            (c.get("message") for c in pod["status"].get("conditions") or [] if c["type"] == "PodScheduled"), ""
        )
        if message == told:
            return
        self._set_condition(name, {"status": "False", "reason": "Unschedulable", "message": message})
        events.emit(self.store, named("pods"), pod, "FailedScheduling", message, source=_SOURCE, warning=True)

    def _set_condition(self, name: Name, condition: Object) -> None:
        def change(pod: Object) -> None:
            kept = [one for one in pod["status"].get("conditions") or [] if one["type"] != "PodScheduled"]
            dated = {"lastProbeTime": None, "lastTransitionTime": now()}
            pod["status"]["conditions"] = [*kept, {"type": "PodScheduled", **dated, **condition}]

        self.store.update(named("pods"), *name, change, subresource="status")


def holds_devices(pod: Object) -> bool:
    """Bound to a node and not ended."""
    return bool(pod["spec"].get("nodeName")) and pod["status"].get("phase") not in ("Succeeded", "Failed")


def _is_waiting(pod: Object) -> bool:
    spec, metadata = pod["spec"], pod["metadata"]
    bound_or_ended = spec.get("nodeName") or pod["status"].get("phase") != "Pending"
    return not (bound_or_ended or metadata.get("deletionTimestamp") or spec.get("schedulingGates"))


def _order(item: tuple[Name, Object]) -> tuple[int, int]:
    pod = item[1]
    return -pod["spec"].get("priority", 0), int(pod["metadata"]["resourceVersion"])


def _asked(pod: Object) -> Amounts:
    return {**quantities.of_pod(pod["spec"]), "pods": Decimal(1)}


def _load(used: Amounts, asked: Amounts) -> Decimal:
    """Fuller nodes first where devices are asked for, emptier ones else: devices stay together."""
    devices = sum((amount for name, amount in used.items() if "/" in name), Decimal(0))
    return -devices if any("/" in name for name in asked) else used.get("pods", Decimal(0))


def _obstacles(pod: Object, node: Object, used: Amounts) -> list[str]:
    """Why a pod cannot go to a node; the first kind of reason that applies, as the scheduler's filters do it."""
    if node["spec"].get("unschedulable"):
        return [f"node(s) were unschedulable\n{_HOPELESS}"]
    if not _tolerated(pod["spec"].get("tolerations") or [], node["spec"].get("taints") or []):
        return [f"node(s) had untolerated taint(s)\n{_HOPELESS}"]
    if not _matches(pod["spec"], node):
        return [f"node(s) didn't match Pod's node affinity/selector\n{_HOPELESS}"]
    room = quantities.total(node["status"]["allocatable"])
    short = []
    for name, amount in _asked(pod).items():
        capacity = room.get(name, Decimal(0))
        if amount > capacity - used.get(name, Decimal(0)):
            what = "Too many pods" if name == "pods" else f"Insufficient {name}"
            short.append(f"{what}\n{_HOPELESS if amount > capacity else _NO_VICTIMS}")
    return short


def _tolerated(tolerations: list[Object], taints: list[Object]) -> bool:
    hard = [taint for taint in taints if taint["effect"] != "PreferNoSchedule"]
    return all(any(_tolerates(one, taint) for one in tolerations) for taint in hard)


def _tolerates(toleration: Object, taint: Object) -> bool:
    if toleration.get("effect") not in (None, "", taint["effect"]):
        return False
    if not toleration.get("key"):
        return toleration.get("operator") == "Exists"
    if toleration["key"] != taint["key"]:
        return False
    return toleration.get("operator") == "Exists" or toleration.get("value", "") == taint.get("value", "")


def _matches(spec: Object, node: Object) -> bool:
    labels = node["metadata"].get("labels") or {}
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return False
    affinity = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    return affinity is None or any(_term_matches(term, node) for term in affinity.get("nodeSelectorTerms") or [])


def _term_matches(term: Object, node: Object) -> bool:
    if not (term.get("matchExpressions") or term.get("matchFields")):
        return False  # an empty term matches nothing
    fields = {"metadata.name": node["metadata"]["name"]}
    labels = node["metadata"].get("labels") or {}
    return all(_holds(one, labels) for one in term.get("matchExpressions") or []) and all(
        _holds(one, fields) for one in term.get("matchFields") or []
    )


def _holds(expression: Object, values: dict[str, str]) -> bool:
    key, operator = expression["key"], expression["operator"]
    if operator in ("Gt", "Lt"):
        found = values.get(key, "")
        bound = int(expression["values"][0])
        return found.lstrip("-").isdigit() and (int(found) > bound if operator == "Gt" else int(found) < bound)
    return Requirement(key, operator, frozenset(expression.get("values") or [])).holds(values)


def _sentence(nodes: int, reasons: Counter[str]) -> str:
    if nodes == 0:
        return "no nodes available to schedule pods"
    told: Counter[str] = Counter()
    prospects: Counter[str] = Counter()
    for reason, count in reasons.items():
        what, _, prospect = reason.partition("\n")
        told[what] += count
        prospects[prospect] += count or nodes
    listed = ", ".join(sorted(f"{count} {what}" if count else what for what, count in told.items()))
    after = ", ".join(sorted(f"{min(count, nodes)} {prospect}" for prospect, count in prospects.items()))
    first = f"0/{nodes} nodes are available: {listed}. no new claims to deallocate"
    return f"{first}, preemption: 0/{nodes} nodes are available: {after}"
