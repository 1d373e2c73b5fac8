"""Label selectors and field selectors of lists and watches."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from .problems import Object, bad_request
from .resources import Resource

_SET = re.compile(r"^(\S+)\s+(in|notin)\s+\((.*)\)$")
_EQUAL = re.compile(r"^([^=!\s]+)\s*(==|=|!=)\s*(\S*)$")
_FIELD = re.compile(r"^([^!=]+)(==|=|!=)(.*)$")
_EVERYWHERE = {"metadata.name", "metadata.namespace"}
_FIELDS = {
    "pods": {"status.phase", "spec.nodeName", "spec.restartPolicy", "spec.serviceAccountName", "status.podIP"},
    "jobs": {"status.successful"},
    "namespaces": {"status.phase"},
    "secrets": {"type"},
    "events": {"reason", "type", "source", "reportingComponent"}
    | {f"involvedObject.{field}" for field in ("kind", "namespace", "name", "uid", "apiVersion", "fieldPath")},
}


class Requirement(NamedTuple):
    """One clause about one label."""

    label: str
    operator: str  # In, NotIn, Exists, DoesNotExist: the words of the API's objects
    values: frozenset[str] = frozenset()

    def holds(self, labels: dict[str, str]) -> bool:
        if self.operator in ("Exists", "DoesNotExist"):
            return (self.label in labels) == (self.operator == "Exists")
        return (labels.get(self.label) in self.values) == (self.operator == "In")


def parse_labels(selector: str | None) -> list[Requirement]:
    """`a=b,c in (d,e),!f` as requirements."""
    parts = (part.strip() for part in re.split(r",(?![^(]*\))", selector or ""))
    return [_requirement(part) for part in parts if part]


def _requirement(part: str) -> Requirement:
    if found := _SET.match(part):
        values = frozenset(value.strip() for value in found[3].split(","))
        return Requirement(found[1], "In" if found[2] == "in" else "NotIn", values)
    if found := _EQUAL.match(part):
        return Requirement(found[1], "NotIn" if found[2] == "!=" else "In", frozenset({found[3]}))
    return Requirement(part[1:].strip(), "DoesNotExist") if part.startswith("!") else Requirement(part, "Exists")


def parse_fields(resource: Resource, selector: str | None) -> list[tuple[list[str], bool, str]]:
    """`metadata.name=a,status.phase!=b` as (path, equal, value). Raises ApiError for fields that are no index."""
    clauses = []
    for part in filter(None, (selector or "").split(",")):
        found = _FIELD.match(part)
        if not found:
            raise bad_request(f"invalid field selector {selector!r}")
        if found[1] not in _EVERYWHERE | _FIELDS.get(resource.plural, set()):
            raise bad_request(f"field label not supported: {found[1]}")
        clauses.append((found[1].split("."), found[2] != "!=", found[3]))
    return clauses


def selection(
    resource: Resource, namespace: str | None, labels: str | None = None, fields: str | None = None
) -> Callable[[Object], bool]:
    """The predicate of a list or watch."""
    requirements, clauses = parse_labels(labels), parse_fields(resource, fields)

    def selected(found: Object) -> bool:
        metadata = found["metadata"]
        return (
            (not namespace or metadata.get("namespace") == namespace)
            and all(requirement.holds(metadata.get("labels") or {}) for requirement in requirements)
            and all((_text(found, path) == value) == equal for path, equal, value in clauses)
        )

    return selected


def _text(found: Object, path: list[str]) -> str:
    value: object = found
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    return "" if value is None else str(value)
