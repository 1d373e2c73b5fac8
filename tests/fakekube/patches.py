"""JSON patch, merge patch and strategic merge patch, as functions from an object to a new one."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

from .problems import ApiError, Object

# Lists whose items are known by a key, and lists that are sets, from the API's own type definitions.
_MERGE_KEYS = {
    "containers": ["name"],
    "initContainers": ["name"],
    "env": ["name"],
    "volumes": ["name"],
    "volumeMounts": ["mountPath"],
    "volumeDevices": ["devicePath"],
    "imagePullSecrets": ["name"],
    "secrets": ["name"],
    "hostAliases": ["ip"],
    "ownerReferences": ["uid"],
    "conditions": ["type"],
    "topologySpreadConstraints": ["topologyKey", "whenUnsatisfiable"],
    "podIPs": ["ip"],
    "resourceClaims": ["name"],
}
SETS = {"finalizers"}


def merge_keys(field: str | None, items: list[Any]) -> list[str] | None:
    """The fields that tell the items of a list apart; None where the list is one value."""
    if not items or not all(isinstance(item, dict) for item in items):
        return None
    if field == "ports":
        ports = [name for name in ("containerPort", "port") if name in items[0]]
        return [ports[0], "protocol"] if ports else None
    return _MERGE_KEYS.get(field or "")


def item_key(keys: list[str], item: Object) -> tuple[tuple[str, Any], ...]:
    return tuple((key, item.get(key, "TCP" if key == "protocol" else None)) for key in keys)


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def strategic_merge_patch(target: Any, patch: Any, field: str | None = None) -> Any:
    """Kubernetes' merge patch, which knows lists by their keys and takes directives that begin with `$`."""
    if isinstance(patch, dict):
        return _merge_map(dict(target) if isinstance(target, dict) else {}, patch)
    if isinstance(patch, list):
        return _merge_list(list(target or []), patch, field)
    return copy.deepcopy(patch)


def _merge_map(target: Object, patch: Object) -> Any:
    if patch.get("$patch") == "replace":
        return {key: value for key, value in patch.items() if key != "$patch"}
    if patch.get("$patch") == "delete":
        return None
    if (kept := patch.get("$retainKeys")) is not None:
        target = {key: value for key, value in target.items() if key in kept}
    for key, value in patch.items():
        if key.startswith("$deleteFromPrimitiveList/"):
            field = key.split("/", 1)[1]
            target[field] = [item for item in target.get(field) or [] if item not in value]
        elif not key.startswith("$"):
            merged = None if value is None else strategic_merge_patch(target.get(key), value, key)
            if merged is None:
                target.pop(key, None)
            else:
                target[key] = merged
    for key, order in patch.items():
        if key.startswith("$setElementOrder/"):
            _reorder(target, key.split("/", 1)[1], order)
    return target


def _reorder(target: Object, field: str, order: list[Any]) -> None:
    items = target.get(field)
    if not items:
        return
    keys = merge_keys(field, items)

    def identity(item: Any) -> str:
        return json.dumps(item.get(keys[0]) if keys and isinstance(item, dict) else item)

    wanted = [identity(item) for item in order]
    target[field] = sorted(items, key=lambda i: wanted.index(identity(i)) if identity(i) in wanted else len(wanted))


def _merge_list(target: list[Any], patch: list[Any], field: str | None) -> list[Any]:
    plain = [item for item in patch if not (isinstance(item, dict) and item.get("$patch") == "replace")]
    if len(plain) < len(patch):
        return plain
    keys = merge_keys(field, patch or target)
    if keys is None:
        return target + [item for item in patch if item not in target] if field in SETS else copy.deepcopy(patch)
    for item in patch:
        _merge_item(target, item, keys[:1])
    return target


def _merge_item(target: list[Any], item: Object, keys: list[str]) -> None:
    at = next((i for i, other in enumerate(target) if item_key(keys, other) == item_key(keys, item)), None)
    if item.get("$patch") == "delete":
        if at is not None:
            target.pop(at)
    elif at is None:
        target.append(strategic_merge_patch({}, item))
    else:
        target[at] = strategic_merge_patch(target[at], item)


def json_patch(document: Object, operations: list[Object]) -> Object:
    """RFC 6902. Raises ApiError where an operation does not fit the document."""
    document = copy.deepcopy(document)
    for operation in operations:
        try:
            _OPERATIONS[operation["op"]](document, operation)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            told = f"the server rejected our request due to an error in our request: {operation}: {error}"
            raise ApiError(422, "Invalid", told) from error
    return document


def _parent(document: Any, path: str) -> tuple[Any, str]:
    steps = [step.replace("~1", "/").replace("~0", "~") for step in path.split("/")[1:]]
    for step in steps[:-1]:
        document = document[int(step)] if isinstance(document, list) else document[step]
    return document, steps[-1]


def _read(document: Any, path: str) -> Any:
    parent, last = _parent(document, path)
    return parent[int(last)] if isinstance(parent, list) else parent[last]


def _put(document: Any, path: str, value: Any) -> None:
    parent, last = _parent(document, path)
    if isinstance(parent, list):
        parent.insert(len(parent) if last == "-" else int(last), value)
    else:
        parent[last] = value


def _take(document: Any, path: str) -> Any:
    parent, last = _parent(document, path)
    return parent.pop(int(last)) if isinstance(parent, list) else parent.pop(last)


def _test(document: Any, operation: Object) -> None:
    if _read(document, operation["path"]) != operation.get("value"):
        raise ValueError("the value is another")


def _replace(document: Any, operation: Object) -> None:
    _take(document, operation["path"])
    _put(document, operation["path"], operation.get("value"))


_OPERATIONS: dict[str, Callable[[Any, Object], Any]] = {
    "test": _test,
    "replace": _replace,
    "add": lambda document, op: _put(document, op["path"], op.get("value")),
    "remove": lambda document, op: _take(document, op["path"]),
    "move": lambda document, op: _put(document, op["path"], _take(document, op["from"])),
    "copy": lambda document, op: _put(document, op["path"], copy.deepcopy(_read(document, op["from"]))),
}
