"""Deletion: grace periods, finalizers, propagation policies, and garbage collection by ownerReferences."""

from __future__ import annotations

import copy
from collections.abc import Iterator

from .clock import now
from .problems import Object
from .resources import Resource, named
from .store import Name, Store

_FOREGROUND = "foregroundDeletion"


def delete(
    store: Store,
    resource: Resource,
    namespace: str | None,
    name: str,
    options: Object | None = None,
    dry_run: bool = False,
) -> tuple[Object, bool]:
    """Delete as the API does: (the object, whether it is gone already). Raises ApiError.

    `options` are DeleteOptions as a request's body has them.
    """
    options = options or {}
    with store.lock:
        found = store.get(resource, namespace, name)
        _check(resource, name, found, options)
        policy = propagation(resource, options)
        if dry_run:
            return found, False
        uid = found["metadata"]["uid"]
        if policy == "Orphan":
            _orphan(store, uid)
            found = store.get(resource, namespace, name)
        finalizers = list(found["metadata"].get("finalizers") or [])
        if policy == "Foreground" and _FOREGROUND not in finalizers and any(True for _ in owned_by(store, uid)):
            finalizers.append(_FOREGROUND)
        grace = _grace_seconds(resource, found, options)
        if not (finalizers or grace or resource.plural == "namespaces"):
            store.drop(resource, namespace, name)
            return found, True
        return _mark(store, resource, (namespace, name), found, finalizers, grace), False


def propagation(resource: Resource, options: Object) -> str:
    """What becomes of dependents. Jobs keep theirs unless told otherwise, for the sake of old clients."""
    if options.get("propagationPolicy"):
        return str(options["propagationPolicy"])
    if options.get("orphanDependents") is not None:
        return "Orphan" if options["orphanDependents"] else "Background"
    return "Orphan" if resource.plural == "jobs" else "Background"


def _check(resource: Resource, name: str, found: Object, options: Object) -> None:
    wanted, metadata = options.get("preconditions") or {}, found["metadata"]
    if wanted.get("uid", metadata["uid"]) != metadata["uid"]:
        told = f"UID in precondition: {wanted['uid']}, UID in object meta: {metadata['uid']}"
        raise resource.conflict(name, f"Precondition failed: {told}")
    if wanted.get("resourceVersion", metadata["resourceVersion"]) != metadata["resourceVersion"]:
        raise resource.conflict(name, "Precondition failed: ResourceVersion")


def _grace_seconds(resource: Resource, found: Object, options: Object) -> int:
    if resource.plural != "pods":
        return 0
    if not found["spec"].get("nodeName") or found["status"].get("phase") in ("Succeeded", "Failed"):
        return 0
    given = options.get("gracePeriodSeconds")
    return int(found["spec"].get("terminationGracePeriodSeconds", 30) if given is None else given)


def _mark(store: Store, resource: Resource, name: Name, found: Object, finalizers: list[str], grace: int) -> Object:
    metadata = found["metadata"]
    first = not metadata.get("deletionTimestamp")
    shorter = grace < metadata.get("deletionGracePeriodSeconds", grace)
    if not first and not shorter and finalizers == (metadata.get("finalizers") or []):
        return found
    new = copy.deepcopy(found)
    if first or shorter:  # the time is when it will be gone, not when it was told to go
        new["metadata"] |= {"deletionTimestamp": now(plus_seconds=grace), "deletionGracePeriodSeconds": grace}
    if finalizers:
        new["metadata"]["finalizers"] = finalizers
    if new["metadata"].get("generation"):
        new["metadata"]["generation"] += 1
    if resource.plural == "namespaces":
        new["status"]["phase"] = "Terminating"
    store.replace(resource, name, new)
    return new


def owned_by(store: Store, uid: str) -> Iterator[tuple[Resource, Name, Object]]:
    """All objects that name `uid` as an owner."""
    for resource, table in store.tables():
        for name, found in list(table.items()):
            if any(owner["uid"] == uid for owner in found["metadata"].get("ownerReferences") or []):
                yield resource, name, found


def _orphan(store: Store, uid: str) -> None:
    def release(found: Object) -> None:
        owners = found["metadata"]["ownerReferences"]
        found["metadata"]["ownerReferences"] = [owner for owner in owners if owner["uid"] != uid]

    for resource, (namespace, name), _ in list(owned_by(store, uid)):
        store.update(resource, namespace, name, release)


class GarbageCollector:
    """Deletes what has lost all its owners, finishes foreground deletions, and empties namespaces."""

    def __init__(self, store: Store):
        self.store = store

    def sync(self) -> None:
        owners = {found["metadata"]["uid"]: found for _, table in self.store.tables() for found in table.values()}
        ending = {
            name
            for (_, name), namespace in self.store.table("namespaces").items()
            if namespace["metadata"].get("deletionTimestamp")
        }
        for resource, table in self.store.tables():
            for name, found in list(table.items()):
                metadata = found["metadata"]
                if metadata.get("ownerReferences") or metadata.get("deletionTimestamp") or name[0] in ending:
                    self._collect(resource, name, found, owners, name[0] in ending)
        for namespace in ending:
            self._finish_namespace(namespace)

    def _collect(self, resource: Resource, name: Name, found: Object, owners: dict[str, Object], ending: bool) -> None:
        metadata = found["metadata"]
        deleted, references = metadata.get("deletionTimestamp"), metadata.get("ownerReferences") or []
        if references and not deleted and not any(_is_kept_by(owner, owners) for owner in references):
            delete(self.store, resource, *name, {"propagationPolicy": "Background"})
        elif ending and not deleted:
            delete(self.store, resource, *name, {"propagationPolicy": "Background", "gracePeriodSeconds": 0})
        elif deleted and _FOREGROUND in (metadata.get("finalizers") or []):
            self._finish_foreground(resource, name, metadata["uid"])

    def _finish_foreground(self, resource: Resource, name: Name, uid: str) -> None:
        for _, _, dependent in owned_by(self.store, uid):
            if any(o["uid"] == uid and o.get("blockOwnerDeletion") for o in dependent["metadata"]["ownerReferences"]):
                return

        def release(found: Object) -> None:
            kept = [finalizer for finalizer in found["metadata"]["finalizers"] if finalizer != _FOREGROUND]
            found["metadata"]["finalizers"] = kept

        self.store.update(resource, *name, release)

    def _finish_namespace(self, namespace: str) -> None:
        if not any(key[0] == namespace for _, table in self.store.tables() for key in table):
            self.store.drop(named("namespaces"), None, namespace)


def _is_kept_by(reference: Object, owners: dict[str, Object]) -> bool:
    owner = owners.get(reference["uid"])
    return owner is not None and _FOREGROUND not in (owner["metadata"].get("finalizers") or [])
