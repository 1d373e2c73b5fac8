"""The verbs of the API: from a call to a response."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from . import patches, rbac, tables
from .calls import Call
from .deletion import delete
from .disruption import evict
from .faults import Faults
from .problems import ApiError, Object, bad_request, unsupported
from .resources import Resource
from .selectors import selection
from .store import Store
from .streams import PodLog, Watch
from .unknown_fields import unknown_fields

_ORPHAN_WARNING = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them "
    "or set propagationPolicy=Orphan to suppress this warning"
)
_PATCHES: dict[str, Callable[[Object, Object | list[Object]], Object]] = {
    "application/json-patch+json": lambda found, patch: patches.json_patch(
        found, patch if isinstance(patch, list) else []
    ),
    "application/merge-patch+json": patches.merge_patch,
    "application/strategic-merge-patch+json": patches.strategic_merge_patch,
}


class Logs(Protocol):
    """What the kubelet knows of containers' logs."""

    def log_path(self, pod: Object, container: str) -> Path: ...

    def runs(self, pod: Object) -> bool: ...


@dataclass
class Backend:
    """What answering needs."""

    store: Store
    faults: Faults
    logs: Logs
    rbac: bool = True


@dataclass
class Answer:
    """One whole answer."""

    body: Object | bytes
    code: int = 200
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def perform(backend: Backend, call: Call) -> Answer | Watch | PodLog:
    """Do what is asked, if it is allowed. Raises ApiError."""
    verb = "get" if call.subresource == "log" else call.verb
    if backend.rbac and call.resource.kind != "SelfSubjectAccessReview":  # everybody may ask what he may
        rbac.check(backend.store, call.user, verb, call.resource, call.namespace, call.name, call.subresource)
    if call.watches:
        return Watch(backend.store, backend.faults, call)
    if call.method == "GET":
        return _read(backend, call)
    if call.method == "DELETE":
        return _delete(backend.store, call) if call.name else _delete_all(backend.store, call)
    if call.method == "POST":
        return _SPECIAL.get(call.subresource or call.resource.kind, _create)(backend, call)
    if call.name is None:
        raise ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
    return _replace(backend.store, call) if call.method == "PUT" else _patch(backend.store, call)


def _read(backend: Backend, call: Call) -> Answer | PodLog:
    if call.name is None:
        return _list(backend.store, call)
    found = backend.store.get(call.resource, call.namespace, call.name)
    if call.subresource == "log":
        return _pod_log(backend.logs, call, found)
    if tables.is_wanted(call):
        return Answer(tables.table(call, [found], found["metadata"]["resourceVersion"]))
    return Answer(tables.typed(call.resource, found))


def _selected(store: Store, call: Call) -> tuple[list[Object], int]:
    query = call.query
    chosen = selection(call.resource, call.namespace, query.get("labelSelector"), query.get("fieldSelector"))
    with store.lock:
        objects = sorted(store.table(call.resource).items(), key=lambda item: (item[0][0] or "", item[0][1]))
        return [found for _, found in objects if chosen(found)], store.version


def _list(store: Store, call: Call) -> Answer:
    found, version = _selected(store, call)
    metadata: Object = {"resourceVersion": str(version)}
    if limit := int(call.query.get("limit") or 0):
        start = int(base64.b64decode(call.query["continue"])) if call.query.get("continue") else 0
        if (left := len(found) - start - limit) > 0:
            following = base64.b64encode(str(start + limit).encode()).decode()
            metadata |= {"continue": following, "remainingItemCount": left}
        found = found[start : start + limit]
    if tables.is_wanted(call):
        return Answer(tables.table(call, found, str(version), metadata))
    items = [{key: value for key, value in one.items() if key not in ("apiVersion", "kind")} for one in found]
    kind = {"kind": f"{call.resource.kind}List", "apiVersion": call.resource.api_version}
    return Answer({**kind, "metadata": metadata, "items": items})


def _create(backend: Backend, call: Call) -> Answer:
    warnings = _check_fields(call, call.mapping)
    options = {"dry_run": call.dry_run, "manager": call.manager}
    made = backend.store.create(call.resource, call.namespace, call.mapping, **options)  # type: ignore[arg-type]
    return Answer(tables.typed(call.resource, made), 201, warnings=warnings)


def _replace(store: Store, call: Call) -> Answer:
    warnings = [] if call.subresource else _check_fields(call, call.mapping)
    return _updated(store, call, lambda _: call.mapping, warnings)


def _patch(store: Store, call: Call) -> Answer:
    if call.content_type == "application/apply-patch+yaml":
        return _apply(store, call)
    apply_patch = _PATCHES.get(call.content_type)
    if apply_patch is None:
        raise unsupported(f"accepted media types include: {', '.join(_PATCHES)}, application/apply-patch+yaml")

    def change(found: Object) -> Object:
        patched = apply_patch(found, call.body or {})
        if call.query.get("fieldValidation") == "Strict":
            _check_fields(call, patched)
        return patched

    return _updated(store, call, change, [])


def _updated(store: Store, call: Call, change: Callable[[Object], Object], warnings: list[str]) -> Answer:
    assert call.name is not None
    updated = store.update(
        call.resource,
        call.namespace,
        call.name,
        change,
        subresource=call.subresource,
        dry_run=call.dry_run,
        manager=call.manager,
    )
    return Answer(tables.typed(call.resource, updated), warnings=warnings)


def _apply(store: Store, call: Call) -> Answer:
    assert call.name is not None
    if call.mapping.get("metadata", {}).get("name", call.name) != call.name:
        raise bad_request("name does not match the URL")
    if call.query.get("fieldValidation") == "Strict":
        _check_fields(call, call.mapping)
    found, is_new = store.apply(
        call.resource,
        call.namespace,
        call.name,
        call.mapping,
        call.manager,
        force=call.query.get("force") == "true",
        subresource=call.subresource,
        dry_run=call.dry_run,
    )
    return Answer(tables.typed(call.resource, found), 201 if is_new else 200)


def _check_fields(call: Call, found: Object) -> list[str]:
    """Unknown fields as warnings; an error where the client asked for strictness."""
    wanted, resource = call.query.get("fieldValidation", "Warn"), call.resource
    problems = [] if wanted == "Ignore" else unknown_fields(resource, found)
    if problems and wanted == "Strict":
        told = f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}'
        raise bad_request(f"{told}: strict decoding error: {', '.join(problems)}")
    return problems


def _delete_options(call: Call) -> Object:
    options, query = dict(call.mapping), call.query
    if "propagationPolicy" in query:
        options["propagationPolicy"] = query["propagationPolicy"]
    if "gracePeriodSeconds" in query:
        options["gracePeriodSeconds"] = int(query["gracePeriodSeconds"])
    if "orphanDependents" in query:
        options["orphanDependents"] = query["orphanDependents"] == "true"
    return options


def _delete(store: Store, call: Call) -> Answer:
    assert call.name is not None
    options, resource = _delete_options(call), call.resource
    dry_run = call.dry_run or "All" in (options.get("dryRun") or [])
    found, gone = delete(store, resource, call.namespace, call.name, options, dry_run)
    silent = options.get("propagationPolicy") or options.get("orphanDependents") is not None
    warnings = [_ORPHAN_WARNING] if resource.plural == "jobs" and not silent else []
    if not gone or resource.plural == "pods":
        return Answer(tables.typed(resource, found), warnings=warnings)
    details = {**resource.details(call.name), "uid": found["metadata"]["uid"]}
    return Answer(_success() | {"details": details}, warnings=warnings)


def _delete_all(store: Store, call: Call) -> Answer:
    found, version = _selected(store, call)
    for one in found:
        metadata = one["metadata"]
        delete(store, call.resource, metadata.get("namespace"), metadata["name"], _delete_options(call))
    kind = {"kind": f"{call.resource.kind}List", "apiVersion": call.resource.api_version}
    return Answer({**kind, "metadata": {"resourceVersion": str(version)}, "items": found})


def _success(code: int = 200) -> Object:
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": code}


def _evict(backend: Backend, call: Call) -> Answer:
    evict(backend.store, call.namespace or "", call.name or "", call.mapping.get("deleteOptions"))
    return Answer(_success(201), 201)


def _issue_token(backend: Backend, call: Call) -> Answer:
    backend.store.get(call.resource, call.namespace, call.name or "")
    token = rbac.token_of(call.name or "", call.namespace or "")
    status = {"token": token, "expirationTimestamp": "2099-01-01T00:00:00Z"}
    kind = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "metadata": {}}
    return Answer({**kind, "spec": call.mapping.get("spec") or {}, "status": status}, 201)


def _review_access(backend: Backend, call: Call) -> Answer:
    asked = (call.mapping.get("spec") or {}).get("resourceAttributes") or {}
    resource = Resource(asked.get("group", ""), "", asked.get("resource", ""), "")
    names = (asked.get("namespace"), asked.get("name"), asked.get("subresource"))
    try:
        if backend.rbac:
            rbac.check(backend.store, call.user, asked.get("verb", ""), resource, *names)
        allowed = True
    except ApiError:
        allowed = False
    return Answer({**tables.typed(call.resource, call.mapping), "status": {"allowed": allowed}}, 201)


def _pod_log(logs: Logs, call: Call, pod: Object) -> Answer | PodLog:
    containers = [container["name"] for container in pod["spec"]["containers"]]
    name = call.query.get("container") or containers[0]
    every = containers + [container["name"] for container in pod["spec"].get("initContainers") or []]
    if not call.query.get("container") and len(containers) > 1:
        raise bad_request(
            f"a container name must be specified for pod {call.name}, choose one of: [{' '.join(containers)}]"
        )
    if name not in every:
        raise bad_request(f"container {name} is not valid for pod {call.name}")
    path = logs.log_path(pod, name)
    if not path.exists():
        raise bad_request(f'container "{name}" in pod "{call.name}" is waiting to start: ContainerCreating')
    whole = path.read_bytes()
    tail = call.query.get("tailLines")
    lines = whole.splitlines(keepends=True)
    shown = whole if tail is None else b"".join(lines[len(lines) - min(int(tail), len(lines)) :])
    if call.query.get("follow") == "true":
        return PodLog(path, len(whole) - len(shown), lambda: logs.runs(pod))
    return Answer(shown, content_type="text/plain")


_SPECIAL: dict[str, Callable[[Backend, Call], Answer]] = {
    "eviction": _evict,
    "token": _issue_token,
    "SelfSubjectAccessReview": _review_access,
}
