"""Admission: rejects objects over quota, pods that violate the namespace's Pod Security level, and pods with an unknown
ServiceAccount or PriorityClass."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from . import quantities
from .pod_security import violations
from .problems import Object, forbidden
from .quantities import Amounts
from .resources import Resource
from .store import Store

_SHORT = {"cpu", "memory", "ephemeral-storage"}


class Admission:
    """The admission plugins that change what a release may do. Call it with a new object; raises ApiError (403)."""

    def __init__(self, store: Store):
        self.store = store

    def __call__(self, resource: Resource, new: Object) -> None:
        if resource.plural == "pods":
            self._account(new)
            self._priority(new)
            self._security(new)
        if resource.namespaced:
            self._quota(resource, new)

    def _account(self, pod: Object) -> None:
        namespace, name = pod["metadata"]["namespace"], pod["spec"]["serviceAccountName"]
        if (namespace, name) not in self.store.table("serviceaccounts"):
            why = f'error looking up service account {namespace}/{name}: serviceaccount "{name}" not found'
            raise forbidden("pods", pod["metadata"]["name"], why)

    def _priority(self, pod: Object) -> None:
        name = pod["spec"].get("priorityClassName")
        if not name or name.startswith("system-"):
            return
        found = self.store.table("priorityclasses").get((None, name))
        if found is None:
            raise forbidden("pods", pod["metadata"]["name"], f"no PriorityClass with name {name} was found")
        pod["spec"]["priority"] = found["value"]

    def _security(self, pod: Object) -> None:
        namespace = self.store.table("namespaces")[None, pod["metadata"]["namespace"]]
        level = (namespace["metadata"].get("labels") or {}).get("pod-security.kubernetes.io/enforce", "privileged")
        if broken := violations(pod["spec"], level):
            why = f'violates PodSecurity "{level}:latest": {", ".join(broken)}'
            raise forbidden("pods", pod["metadata"]["name"], why)

    def _quota(self, resource: Resource, new: Object) -> None:
        namespace, name = new["metadata"].get("namespace"), new["metadata"]["name"]
        for (home, quota_name), quota in list(self.store.table("resourcequotas").items()):
            if home != namespace:
                continue
            hard = quantities.total((quota.get("spec") or {}).get("hard"))
            asked = {key: amount for key, amount in charged(resource, new).items() if key in hard}
            if resource.plural == "pods" and (missing := sorted(set(hard) & _compulsory() - set(asked))):
                why = f"failed quota: {quota_name}: must specify {','.join(missing)}"
                raise forbidden("pods", name, why)
            self._check(resource, name, quota_name, hard, asked, usage(self.store, namespace or "", hard))

    def _check(self, resource: Resource, name: str, quota: str, hard: Amounts, asked: Amounts, used: Amounts) -> None:
        over = [key for key in sorted(asked) if used.get(key, Decimal(0)) + asked[key] > hard[key]]
        if over:
            told = [_listed(over, amounts) for amounts in (asked, used, hard)]
            why = f"exceeded quota: {quota}, requested: {told[0]}, used: {told[1]}, limited: {told[2]}"
            raise forbidden(resource.full_name, name, why)


def _compulsory() -> set[str]:
    """With a quota on these, every pod has to say what it wants of them."""
    return {f"{kind}.{name}" for kind in ("requests", "limits") for name in ("cpu", "memory")} | {"cpu", "memory"}


def charged(resource: Resource, found: Object) -> Amounts:
    """What an object takes from a quota, under every name that a quota can have for it."""
    plain = resource.plural if not resource.group else None
    amounts: Amounts = {f"count/{resource.full_name}": Decimal(1)} | ({plain: Decimal(1)} if plain else {})
    if resource.plural == "pods":
        for kind in ("requests", "limits"):
            for name, amount in quantities.of_pod(found["spec"], kind).items():
                amounts[f"{kind}.{name}"] = amount
                if kind == "requests" and name in _SHORT:
                    amounts[name] = amount
    return amounts


def usage(store: Store, namespace: str, hard: Amounts) -> Amounts:
    """What the objects of a namespace take of the things that a quota limits."""
    used: Amounts = dict.fromkeys(hard, Decimal(0))
    for resource, found in _of_namespace(store, namespace):
        for key, amount in charged(resource, found).items():
            if key in used:
                used[key] += amount
    return used


def _of_namespace(store: Store, namespace: str) -> Iterator[tuple[Resource, Object]]:
    for resource, table in store.tables():
        for (home, _), found in table.items():
            ended = resource.plural == "pods" and found["status"].get("phase") in ("Succeeded", "Failed")
            if home == namespace and not ended:
                yield resource, found


def _listed(names: list[str], amounts: Amounts) -> str:
    return ",".join(f"{name}={quantities.text(amounts.get(name, Decimal(0)))}" for name in names)
