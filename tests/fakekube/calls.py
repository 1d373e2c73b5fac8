"""Parsed requests (verb, resource, user), and counts of them."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass

from .problems import Object, nowhere
from .resources import Resource, find

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}


@dataclass
class Call:
    """What a path, a method and a query ask for."""

    method: str
    resource: Resource
    namespace: str | None
    name: str | None
    subresource: str | None
    query: dict[str, str]
    headers: dict[str, str]
    body: Object | list[Object] | None = None
    user: str = ""

    @property
    def watches(self) -> bool:
        return self.method == "GET" and not self.subresource and self.query.get("watch") in ("true", "1", "True")

    @property
    def verb(self) -> str:
        if self.method == "GET":
            return "watch" if self.watches else "get" if self.name else "list"
        if self.method == "DELETE":
            return "delete" if self.name else "deletecollection"
        return _VERBS[self.method]

    @property
    def dry_run(self) -> bool:
        return self.query.get("dryRun") == "All"

    @property
    def manager(self) -> str:
        """Who will own the fields."""
        agent = self.headers.get("user-agent") or "unknown"
        return self.query.get("fieldManager") or agent.split("/")[0]

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "").split(";")[0]

    @property
    def mapping(self) -> Object:
        """The body where it must be an object."""
        return self.body if isinstance(self.body, dict) else {}


def parse(method: str, steps: list[str], query: dict[str, str], headers: dict[str, str]) -> Call:
    """A call from the steps of a path. Raises ApiError (404) for what is not served."""
    group, version, rest = _group_version(steps)
    namespace = None
    if len(rest) > 2 and rest[0] == "namespaces" and not (len(rest) == 3 and rest[2] in ("status", "finalize")):
        namespace, rest = rest[1], rest[2:]
    resource = find(group, version, rest[0]) if rest else None
    if resource is None or (namespace and not resource.namespaced):
        raise nowhere()
    name = rest[1] if len(rest) > 1 else None
    subresource = "/".join(rest[2:]) or None
    if subresource and subresource not in resource.subresources:
        raise nowhere()
    call = Call(method, resource, namespace, name, subresource, query, headers)
    if name and call.watches:  # a watch of one object is a watch of the list
        call.query["fieldSelector"], call.name = f"metadata.name={name}", None
    return call


def _group_version(steps: list[str]) -> tuple[str, str, list[str]]:
    if steps[0] == "api" and len(steps) > 1:
        return "", steps[1], steps[2:]
    if steps[0] == "apis" and len(steps) > 2:
        return steps[1], steps[2], steps[3:]
    raise nowhere()


class CallLog(Counter[tuple[str, str, str]]):
    """Counts by (verb, resource, user). A ServiceAccount's user is `system:serviceaccount:<namespace>:<name>`."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()

    def add(self, call: Call) -> None:
        whole = f"{call.resource.plural}/{call.subresource}" if call.subresource else call.resource.plural
        with self._lock:
            self[call.verb, whole, call.user] += 1

    def total(self, verb: str | None = None, resource: str | None = None, user: str = "") -> int:
        """The requests that fit; None fits all. `user` may be the end of one: `:<namespace>:<name>`."""
        with self._lock:
            return sum(
                count
                for (its_verb, its_resource, its_user), count in self.items()
                if verb in (None, its_verb) and resource in (None, its_resource) and its_user.endswith(user)
            )
