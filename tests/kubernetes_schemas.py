"""The API's own schemas, as the package kubernetes_validate carries them, kept in memory after the first use."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator
from kubernetes_validate import latest_version
from kubernetes_validate.utils import schema_contents
from referencing import Registry, Resource

OLDEST = "1.31"
"""The oldest Kubernetes that the chart says it runs on."""

NEWEST = ".".join(latest_version().split(".")[:2])


def violations(item: dict[str, Any], version: str) -> list[str]:
    """What a version of Kubernetes does not accept in an object; unknown fields count."""
    group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", item["apiVersion"])
    found = _validator(f"{item['kind'].lower()}-{group}.json", version).iter_errors(item)
    return [f"{item['kind']} {item['metadata'].get('name')}: {error.json_path}: {error.message}" for error in found]


@cache
def _validator(file: str, version: str) -> Draft202012Validator:
    schema = Resource.from_contents(_contents(file, version))
    registry: Registry[Any] = schema @ (Resource.from_contents(_contents("_definitions.json", version)) @ Registry())
    return Draft202012Validator(schema.contents, registry=registry)


@cache
def _contents(file: str, version: str) -> Any:
    return schema_contents(f"kubernetes-json-schema/v{version}.0-local-strict/{file}", version)
