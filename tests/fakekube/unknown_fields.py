"""Finds unknown fields with the official client's models, if that client is installed."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

from .problems import Object
from .resources import Resource

_PREFIX = {"autoscaling": "V2"}
_EVENTS = {"": "CoreV1Event", "events.k8s.io": "EventsV1Event"}


def unknown_fields(resource: Resource, found: Object) -> list[str]:
    """`unknown field "spec.template.foo"` for each; nothing where the kind has no model."""
    name = _EVENTS[resource.group] if resource.plural == "events" else _PREFIX.get(resource.group, "V1") + resource.kind
    adapter = _adapter(name)
    if adapter is None:
        return []
    import pydantic

    try:
        adapter.validate_python(found)
    except pydantic.ValidationError as error:
        wrong = [one for one in error.errors() if one["type"] == "extra_forbidden"]
        return [f'unknown field "{_dotted(one["loc"])}"' for one in wrong]
    return []


def _dotted(location: tuple[int | str, ...]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location).lstrip(".")


@cache
def _adapter(name: str) -> Any:
    try:
        client = importlib.import_module("kubernetes.client")
        return importlib.import_module("pydantic").TypeAdapter(getattr(client, name))
    except (ImportError, AttributeError):
        return None
