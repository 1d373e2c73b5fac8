"""Who set which field: managedFields, and the merge of server-side apply.

A field is a path of steps as fieldsV1 writes them: `f:spec`, `k:{"name":"worker"}` for an item of a keyed list, `v:"x"`
for a member of a set, and `.` for the item itself.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from typing import Any

from .clock import now
from .patches import SETS, item_key, merge_keys
from .problems import ApiError, Object
from .resources import Resource

Path = tuple[str, ...]
_SERVERS_OWN = "name namespace uid resourceVersion creationTimestamp generation managedFields deletionTimestamp"
_SKIPPED = {("f:apiVersion",), ("f:kind",)} | {
    ("f:metadata", f"f:{field}")
    for field in [*_SERVERS_OWN.split(), "deletionGracePeriodSeconds", "selfLink", "generateName"]
}


def fields(value: Any, field: str | None = None, at: Path = ()) -> dict[Path, Any]:
    """Every leaf of an object under its path."""
    if at in _SKIPPED:
        return {}
    if isinstance(value, dict) and value:
        return {
            path: leaf for key, part in value.items() for path, leaf in fields(part, key, (*at, f"f:{key}")).items()
        }
    if isinstance(value, list) and (keys := merge_keys(field, value)):
        found: dict[Path, Any] = {}
        for item in value:
            step = "k:" + json.dumps(dict(item_key(keys, item)), separators=(",", ":"))
            found |= {(*at, step, "."): None} | fields(item, None, (*at, step))
        return found
    if isinstance(value, list) and field in SETS:
        return {(*at, f"v:{json.dumps(item)}"): item for item in value}
    return {at: value}


def as_tree(paths: Iterable[Path]) -> Object:
    """Paths as fieldsV1 has them."""
    root: Object = {}
    for path in sorted(paths):
        node = root
        for step in path:
            node = node.setdefault(step, {})
    return root


def as_paths(tree: Object, at: Path = ()) -> set[Path]:
    """The reverse of `as_tree`."""
    if not tree:
        return {at}
    return {path for step, below in tree.items() for path in as_paths(below, (*at, step))}


def entry(resource: Resource, manager: str, operation: str, subresource: str | None, paths: Iterable[Path]) -> Object:
    """One element of managedFields."""
    made: Object = {"manager": manager, "operation": operation, "apiVersion": resource.api_version, "time": now()}
    made |= {"fieldsType": "FieldsV1", "fieldsV1": as_tree(paths)}
    return made | ({"subresource": subresource} if subresource else {})


def is_from(found: Object, manager: str, operation: str, subresource: str | None) -> bool:
    return (found["manager"], found["operation"], found.get("subresource")) == (manager, operation, subresource)


def record_update(resource: Resource, new: Object, old: Object, manager: str, subresource: str | None) -> None:
    """Note in `new` that `manager` owns what it changed, and that nobody else does."""
    before, after = fields(old), fields(new)
    changed = {path for path in after if path not in before or before[path] != after[path]}
    gone, mine, entries = set(before) - set(after), set[Path](), []
    for found in new["metadata"].get("managedFields") or []:
        owned = as_paths(found["fieldsV1"]) - gone
        if is_from(found, manager, "Update", subresource):
            mine = owned
        elif owned - changed:
            entries.append({**found, "fieldsV1": as_tree(owned - changed)})
    if mine | changed:
        entries.append(entry(resource, manager, "Update", subresource, mine | changed))
    new["metadata"]["managedFields"] = entries


def divide(
    old: Object, wanted: Object, manager: str, subresource: str | None, force: bool
) -> tuple[set[Path], list[Object]]:
    """What this manager applied before, and the others' entries without what is taken from them."""
    live, asked = fields(old), fields(wanted)
    before: set[Path] = set()
    causes, kept = [], []
    for found in old["metadata"].get("managedFields") or []:
        owned = as_paths(found["fieldsV1"])
        if is_from(found, manager, "Apply", subresource):
            before = owned
            continue
        taken = {path for path in owned & set(asked) if path[-1] != "." and live.get(path) != asked.get(path)}
        using = f" using {found['apiVersion']}" if found["operation"] == "Update" else ""
        causes += [_conflict(found["manager"], using, path) for path in sorted(taken)]
        if owned - taken:
            kept.append({**found, "fieldsV1": as_tree(owned - taken)})
    if causes and not force:
        told = ", ".join(f"{cause['message']}: {cause['field']}" for cause in causes)
        plural = "s" if len(causes) > 1 else ""
        raise ApiError(409, "Conflict", f"Apply failed with {len(causes)} conflict{plural}: {told}", causes=causes)
    return before, kept


def _conflict(manager: str, using: str, path: Path) -> Object:
    message = f'conflict with "{manager}"{using}'
    return {"reason": "FieldManagerConflict", "message": message, "field": dotted(path)}


def dotted(path: Path) -> str:
    """A path as conflict messages write it."""
    return "".join("." + step[2:] if step.startswith("f:") else f"[{step[2:]}]" for step in path)


def remove(target: Object, path: Path) -> None:
    """Take one owned field out of an object, and what it leaves empty above."""
    node: Any = target
    trail: list[tuple[Any, Any]] = []
    for at, step in enumerate(path):
        last = at == len(path) - 1
        if step.startswith("f:"):
            key: Any = step[2:]
            if not isinstance(node, dict) or key not in node:
                return
        elif step.startswith("k:"):
            wanted = json.loads(step[2:])
            key = next((i for i, item in enumerate(node) if dict(item_key(list(wanted), item)) == wanted), None)
            if key is None:
                return
            last = path[at + 1 :] == (".",)
        else:
            if step.startswith("v:") and json.loads(step[2:]) in node:
                node.remove(json.loads(step[2:]))
            break
        if last:
            node.pop(key)
            break
        trail.append((node, key))
        node = node[key]
    for parent, key in reversed(trail):
        if not isinstance(parent, dict) or parent.get(key) not in ({}, []):
            return
        parent.pop(key)


def applied(live: Object, wanted: Object, before: set[Path], others: list[Object]) -> Object:
    """The live object with what a manager wants of it, without what only that manager wanted `before`."""
    kept = {path for found in others for path in as_paths(found["fieldsV1"])}
    for path in sorted(before - set(fields(wanted)) - kept, key=len):
        remove(live, path)
    merged: Object = merge_applied(live, {key: wanted[key] for key in wanted if key not in ("apiVersion", "kind")})
    return merged


def merge_applied(target: Any, applied: Any, field: str | None = None) -> Any:
    """What an apply makes of the live value: its fields win, keyed lists are merged item by item."""
    if isinstance(applied, dict):
        merged = dict(target) if isinstance(target, dict) else {}
        for key, value in applied.items():
            if value is not None:
                merged[key] = merge_applied(merged.get(key), value, key)
        return merged
    if isinstance(applied, list) and (keys := merge_keys(field, applied)):
        items = list(target or [])
        for wanted in applied:
            at = next((i for i, item in enumerate(items) if item_key(keys, item) == item_key(keys, wanted)), None)
            if at is None:
                items.append(wanted)
            else:
                items[at] = merge_applied(items[at], wanted)
        return items
    if isinstance(applied, list) and field in SETS:
        return list(target or []) + [item for item in applied if item not in (target or [])]
    return copy.deepcopy(applied)
