"""Objects, their versions and the log of changes that watches read.

Objects in here are never changed in place: every change puts a new object under the name, so that readers need no
copies. One lock guards all of it; whoever waits for changes waits on it.
"""

from __future__ import annotations

import copy
import random
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import NamedTuple

from . import defaults, ownership, validation
from .clock import now
from .problems import ApiError, Object, bad_request, forbidden, invalid
from .resources import RESOURCES, Resource, named

Name = tuple[str | None, str]  # namespace, name
KEPT_CHANGES = 20_000
_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
_WITHOUT_GENERATION = {"services", "events", "leases", "namespaces", "resourcequotas", "podtemplates"}
_ARE_THE_SERVERS = ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")
_UNTOUCHED = (*_ARE_THE_SERVERS, "generation", "resourceVersion", "generateName")


class Change(NamedTuple):
    """One line of the log."""

    version: int
    table: tuple[str, str]
    type: str  # ADDED, MODIFIED, DELETED
    object: Object
    old: Object | None


def random_suffix() -> str:
    return "".join(random.choices("bcdfghjklmnpqrstvwxz2456789", k=5))


class Store:
    """What etcd and the API's registry do together. `admit` is asked before an object is created."""

    def __init__(self, admit: Callable[[Resource, Object], None] | None = None, kept: int = KEPT_CHANGES):
        self.lock = threading.Condition(threading.RLock())
        self.version, self.oldest, self.kept = 1, 1, kept
        self.log: list[Change] = []
        self.admit = admit
        self._tables: dict[tuple[str, str], dict[Name, Object]] = {resource.table: {} for resource in RESOURCES}
        for namespace in _NAMESPACES:
            self.create(named("namespaces"), None, {"metadata": {"name": namespace}})

    # ---- reading
    def table(self, resource: Resource | str) -> dict[Name, Object]:
        return self._tables[(named(resource) if isinstance(resource, str) else resource).table]

    def get(self, resource: Resource, namespace: str | None, name: str) -> Object:
        found = self.table(resource).get((namespace, name))
        if found is None:
            raise resource.not_found(name)
        return found

    def tables(self) -> Iterator[tuple[Resource, dict[Name, Object]]]:
        for resource in RESOURCES:
            if resource.names_its_own_table:
                yield resource, self.table(resource)

    # ---- writing
    def create(
        self,
        resource: Resource,
        namespace: str | None,
        given: Object,
        *,
        dry_run: bool = False,
        manager: str | None = None,
        applied: bool = False,
    ) -> Object:
        """Store a new object, defaulted, admitted and validated. Raises ApiError."""
        with self.lock:
            new = copy.deepcopy(given)
            new["metadata"] = new.get("metadata") or {}
            self._check_place(resource, namespace, new)
            _identify(resource, new, applied)
            validation.check(resource, new)
            if self.admit:
                self.admit(resource, new)
            if manager and not applied:
                ownership.record_update(resource, new, {"metadata": {}}, manager, None)
            if not dry_run:
                self._put(resource, (namespace, new["metadata"]["name"]), new, "ADDED")
                if resource.plural == "namespaces":
                    self._furnish(new["metadata"]["name"])
            return new

    def _check_place(self, resource: Resource, namespace: str | None, new: Object) -> None:
        metadata, expected = new["metadata"], (resource.api_version, resource.kind)
        given = (new.get("apiVersion", expected[0]), new.get("kind", expected[1]))
        if given != expected:
            told = "{}, Kind={} does not match the expected {}, Kind={}"
            raise bad_request(told.format(*given, *expected))
        if namespace and metadata.get("namespace", namespace) != namespace:
            raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
        if metadata.get("resourceVersion"):
            raise bad_request("resourceVersion should not be set on objects to be created")
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = metadata["generateName"] + random_suffix()
        if not metadata.get("name"):
            cause = {
                "reason": "FieldValueRequired",
                "field": "metadata.name",
                "message": "Required value: name or generateName is required",
            }
            raise invalid(resource.kind, resource.group, "", [cause])
        if resource.namespaced:
            self._check_namespace(resource, namespace or "", metadata["name"])
            metadata["namespace"] = namespace
        if (namespace, metadata["name"]) in self.table(resource):
            told = f'{resource.full_name} "{metadata["name"]}" already exists'
            raise ApiError(409, "AlreadyExists", told, **resource.details(metadata["name"]))

    def _check_namespace(self, resource: Resource, namespace: str, name: str) -> None:
        found = self.get(named("namespaces"), None, namespace)
        if found["metadata"].get("deletionTimestamp"):
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            raise forbidden(resource.full_name, name, why)

    def _furnish(self, namespace: str) -> None:
        self.create(named("serviceaccounts"), namespace, {"metadata": {"name": "default"}})
        authority = {"metadata": {"name": "kube-root-ca.crt"}, "data": {"ca.crt": "none"}}
        self.create(named("configmaps"), namespace, authority)

    def update(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        change: Callable[[Object], Object | None],
        *,
        subresource: str | None = None,
        dry_run: bool = False,
        manager: str | None = None,
        applied: bool = False,
    ) -> Object:
        """Put what `change` makes of a copy: it returns a new object, or None when it changed the copy itself.

        The spec cannot be changed through the status nor the status through the object. Without a manager (the
        cluster's own controllers) no field ownership is kept. Raises ApiError.
        """
        with self.lock:
            old = self.get(resource, namespace, name)
            copied = copy.deepcopy(old)
            new = change(copied) or copied
            self._check_preconditions(resource, name, new.setdefault("metadata", {}), old["metadata"])
            _keep_what_is_the_servers(new, old, applied)
            _keep_other_part(resource, new, old, subresource)
            if subresource is None:
                defaults.fill_in(resource.plural, new)
            metadata = new["metadata"]
            if metadata.get("generation") and new.get("spec") != old.get("spec"):
                metadata["generation"] += 1
            if _same(new, old, applied):
                return old
            validation.check(resource, new, old)
            if manager and not applied:
                ownership.record_update(resource, new, old, manager, subresource)
            if not dry_run:
                self._put(resource, (namespace, name), new, "MODIFIED", old)
                self._drop_when_released(resource, namespace, name, new)
            return new

    def _check_preconditions(self, resource: Resource, name: str, new: Object, old: Object) -> None:
        if new.get("name", name) != name:
            raise bad_request(f"the name of the object ({new['name']}) does not match the name on the URL ({name})")
        if new.get("uid") and new["uid"] != old["uid"]:
            raise resource.conflict(
                name, f"Precondition failed: UID in precondition: {new['uid']}, UID in object meta: {old['uid']}"
            )
        if new.get("resourceVersion") and new["resourceVersion"] != old["resourceVersion"]:
            raise resource.conflict(
                name, "the object has been modified; please apply your changes to the latest version and try again"
            )

    def _drop_when_released(self, resource: Resource, namespace: str | None, name: str, new: Object) -> None:
        metadata = new["metadata"]
        if metadata.get("deletionTimestamp") and not metadata.get("finalizers"):
            runs = resource.plural == "pods" and new["status"].get("phase") in ("Pending", "Running")
            if not (runs and metadata.get("deletionGracePeriodSeconds")):
                self.drop(resource, namespace, name)

    def apply(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        wanted: Object,
        manager: str,
        *,
        force: bool = False,
        subresource: str | None = None,
        dry_run: bool = False,
    ) -> tuple[Object, bool]:
        """Server-side apply: (the object, whether it is new). Raises ApiError (409) where others own what it sets."""
        with self.lock:
            wanted = copy.deepcopy(wanted)
            metadata = wanted.setdefault("metadata", {})
            if metadata.get("managedFields"):
                raise bad_request("metadata.managedFields must be nil")
            mine = ownership.entry(resource, manager, "Apply", subresource, ownership.fields(wanted))
            old = self.table(resource).get((namespace, name))
            if old is None:
                if metadata.get("uid") or metadata.get("resourceVersion"):
                    raise resource.conflict(name, "the object does not exist")
                metadata |= {"name": name, "managedFields": [mine]}
                return self.create(resource, namespace, wanted, dry_run=dry_run, applied=True), True
            before, others = ownership.divide(old, wanted, manager, subresource, force)

            def change(live: Object) -> Object:
                merged = ownership.applied(live, wanted, before, others)
                merged["metadata"]["managedFields"] = [*others, mine]
                return merged

            options = {"subresource": subresource, "dry_run": dry_run, "applied": True}
            return self.update(resource, namespace, name, change, **options), False  # type: ignore[arg-type]

    def drop(self, resource: Resource, namespace: str | None, name: str) -> None:
        """Take an object away, at once and whatever its finalizers say."""
        found = self.table(resource).pop((namespace, name), None)
        if found is not None:
            gone = {**found, "metadata": dict(found["metadata"])}
            self._note(resource, "DELETED", gone, found)

    def replace(self, resource: Resource, name: Name, new: Object) -> None:
        """Put a changed copy as it is: for the steps of a deletion, which no validation concerns."""
        self._put(resource, name, new, "MODIFIED", self.table(resource)[name])

    def _put(self, resource: Resource, name: Name, new: Object, kind: str, old: Object | None = None) -> None:
        self._note(resource, kind, new, old)
        self.table(resource)[name] = new

    def _note(self, resource: Resource, kind: str, new: Object, old: Object | None) -> None:
        self.version += 1
        new["metadata"]["resourceVersion"] = str(self.version)
        self.log.append(Change(self.version, resource.table, kind, new, old))
        if len(self.log) > self.kept:
            self.forget(self.kept // 2)
        self.lock.notify_all()

    def forget(self, count: int | None = None) -> None:
        """Compact the log, as etcd does: watches from before answer 410."""
        with self.lock:
            del self.log[: len(self.log) if count is None else count]
            self.oldest = self.log[0].version if self.log else self.version + 1


def _identify(resource: Resource, new: Object, applied: bool) -> None:
    """What a new object gets from the server."""
    metadata = new["metadata"]
    metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": now()}
    metadata.pop("deletionTimestamp", None)
    if not applied:
        metadata.pop("managedFields", None)
    if "status" in resource.subresources and resource.plural != "nodes":
        new["status"] = {}
    defaults.fill_in(resource.plural, new)
    if "spec" in new and resource.plural not in _WITHOUT_GENERATION:
        metadata["generation"] = 1


def _keep_what_is_the_servers(new: Object, old: Object, applied: bool) -> None:
    metadata, before = new["metadata"], old["metadata"]
    for field in _UNTOUCHED if applied else (*_UNTOUCHED, "managedFields"):
        if field in before:
            metadata[field] = before[field]
        else:
            metadata.pop(field, None)
    for field in ("finalizers", "ownerReferences"):
        if metadata.get(field) == []:
            del metadata[field]


def _keep_other_part(resource: Resource, new: Object, old: Object, subresource: str | None) -> None:
    if subresource == "status":
        for field in [field for field in new if field not in ("status", "metadata")]:
            del new[field]
        new |= {field: value for field, value in old.items() if field not in ("status", "metadata")}
    elif "status" in resource.subresources:
        new.pop("status", None)
        if "status" in old:
            new["status"] = old["status"]


def _same(new: Object, old: Object, applied: bool) -> bool:
    def bare(found: Object) -> Object:
        metadata = {key: value for key, value in found["metadata"].items() if key != "managedFields"}
        return {**found, "metadata": metadata, "apiVersion": None, "kind": None}

    def owners(found: Object) -> list[Object]:
        return [entry["fieldsV1"] for entry in found["metadata"].get("managedFields") or []]

    return bare(new) == bare(old) and (not applied or owners(new) == owners(old))
