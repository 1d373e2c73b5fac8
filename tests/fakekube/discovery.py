"""What the API says of itself: version, groups, resources, and the OpenAPI that helm and kubectl need to validate."""

from __future__ import annotations

import hashlib
from typing import Any

from .problems import Object, nowhere
from .resources import RESOURCES, Resource

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_MINOR = 36
_READ_WRITE = ["get", "patch", "update"]
_IN_ALL = {"pods", "services", "jobs", "cronjobs", "deployments", "statefulsets", "daemonsets", "replicasets"}


def version() -> Object:
    about = {"major": "1", "minor": str(_MINOR), "gitVersion": f"v1.{_MINOR}.2", "gitCommit": "double"}
    about |= {"gitTreeState": "clean", "buildDate": "2026-01-01T00:00:00Z", "goVersion": "go1.26"}
    return {**about, "compiler": "gc", "platform": "linux/amd64"}


def groups(core: bool) -> dict[str, dict[str, list[Resource]]]:
    """{group: {version: resources}}, of the core group or of all others."""
    found: dict[str, dict[str, list[Resource]]] = {}
    for resource in RESOURCES:
        if (resource.group == "") == core:
            found.setdefault(resource.group, {}).setdefault(resource.version, []).append(resource)
    return found


def aggregated(core: bool) -> Object:
    """All groups with all resources in one answer: what newer clients ask for."""
    items = [
        {
            "metadata": {"name": group} if group else {},
            "versions": [
                {"version": name, "freshness": "Current", "resources": [_aggregated_resource(r) for r in resources]}
                for name, resources in versions.items()
            ],
        }
        for group, versions in groups(core).items()
    ]
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def _aggregated_resource(resource: Resource) -> Object:
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    parts = [{"subresource": s, "responseKind": kind, "verbs": _READ_WRITE} for s in resource.subresources]
    return {
        "resource": resource.plural,
        "responseKind": kind,
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.kind.lower(),
        "verbs": list(resource.verbs),
        "shortNames": list(resource.short),
        "categories": ["all"] if resource.plural in _IN_ALL else [],
        "subresources": parts,
    }


def listed_groups(core: bool) -> Object:
    """The older form: the groups only."""
    if core:
        return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(*item) for item in groups(False).items()]}


def one_group(name: str) -> Object:
    """Raises ApiError (404) for a group that is not served."""
    versions = groups(False).get(name)
    if not versions:
        raise nowhere()
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, versions)}


def _group(name: str, versions: dict[str, list[Resource]]) -> Object:
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def group_resources(group: str, version: str) -> Object:
    """The resources of one group version. Raises ApiError (404) where there is none."""
    found = groups(group == "").get(group, {}).get(version)
    if not found:
        raise nowhere()
    listed = [entry for resource in found for entry in _resource(resource)]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": found[0].api_version, "resources": listed}


def _resource(resource: Resource) -> list[Object]:
    entry: Object = {"name": resource.plural, "singularName": resource.kind.lower(), "kind": resource.kind}
    entry |= {"namespaced": resource.namespaced, "verbs": list(resource.verbs), "shortNames": list(resource.short)}
    part = {"singularName": "", "namespaced": resource.namespaced, "kind": resource.kind, "verbs": _READ_WRITE}
    return [entry, *({**part, "name": f"{resource.plural}/{sub}"} for sub in resource.subresources)]


def openapi(steps: list[str]) -> Object:
    """Which kinds exist, and that the server itself takes `fieldValidation`; no schemas."""
    served = {("api/" if not r.group else "apis/") + r.api_version: r.api_version for r in RESOURCES}
    if not steps:
        digests = {path: hashlib.md5(path.encode()).hexdigest() for path in served}
        return {"paths": {p: {"serverRelativeURL": f"/openapi/v3/{p}?hash={digest}"} for p, digest in digests.items()}}
    wanted = "/".join(steps)
    if wanted not in served:
        raise nowhere()
    paths: Object = {}
    for resource in (r for r in RESOURCES if r.api_version == served[wanted]):
        base = f"/{wanted}" + ("/namespaces/{namespace}/" if resource.namespaced else "/") + resource.plural
        paths[base] = {"post": _operation(resource, "post")}
        paths[base + "/{name}"] = {action: _operation(resource, action) for action in ("patch", "put")}
    about = {"title": "Kubernetes", "version": f"v1.{_MINOR}.2"}
    return {"openapi": "3.0.0", "info": about, "paths": paths, "components": {"schemas": {}}}


def _operation(resource: Resource, action: str) -> dict[str, Any]:
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    text = {"type": "string", "uniqueItems": True}
    names = ("dryRun", "fieldManager", "fieldValidation")
    parameters = [{"name": name, "in": "query", "schema": text} for name in names]
    return {
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": kind,
        "parameters": parameters,
        "responses": {},
    }
