"""Minimal status controllers: binds claims at once and counts the usage of quotas."""

from __future__ import annotations

from functools import partial

from . import quantities
from .admission import usage
from .problems import Object
from .resources import named
from .store import Store


class Upkeep:
    """One pass sets what is not yet right."""

    def __init__(self, store: Store):
        self.store = store

    def sync(self) -> None:
        for name, claim in list(self.store.table("persistentvolumeclaims").items()):
            if (claim.get("status") or {}).get("phase") != "Bound":
                self.store.update(named("persistentvolumeclaims"), *name, _bind, subresource="status")
        for name, quota in list(self.store.table("resourcequotas").items()):
            hard = (quota.get("spec") or {}).get("hard") or {}
            used = usage(self.store, name[0] or "", quantities.total(hard))
            status = {"hard": hard, "used": {key: quantities.text(amount) for key, amount in used.items()}}
            if quota.get("status") != status:
                self.store.update(named("resourcequotas"), *name, partial(_put, status), subresource="status")


def _put(status: Object, found: Object) -> Object:
    return {**found, "status": status}


def _bind(claim: Object) -> None:
    claim["status"]["phase"] = "Bound"
