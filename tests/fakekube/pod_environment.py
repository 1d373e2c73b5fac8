"""The environment of a container: the variables of image and pod, with references resolved."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from math import ceil

from . import quantities
from .problems import Object
from .resources import named
from .store import Store

_REFERENCE = re.compile(r"\$(\$|\((\w[\w.-]*)\))")
_KEYED = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")


class NotReadyError(Exception):
    """Something that a pod needs is not there (yet): the reason and message of a waiting container."""

    def __init__(self, reason: str, message: str, event: str = "Failed"):
        super().__init__(message)
        self.reason, self.message, self.event = reason, message, event


def environment(store: Store, pod: Object, container: Object, base: Mapping[str, str]) -> dict[str, str]:
    """The image's variables (`base`) and the pod's, of which later ones may refer to earlier ones.

    Raises NotReadyError where a ConfigMap or Secret is missing.
    """
    made = dict(base)
    made["HOSTNAME"] = pod["spec"].get("hostname") or pod["metadata"]["name"]
    namespace = pod["metadata"]["namespace"]
    for source in container.get("envFrom") or []:
        kind = "configmaps" if "configMapRef" in source else "secrets"
        reference = source.get("configMapRef") or source.get("secretRef") or {}
        values = data_of(store, kind, namespace, reference["name"], bool(reference.get("optional")))
        made |= {source.get("prefix", "") + key: value.decode() for key, value in values.items()}
    for variable in container.get("env") or []:
        if (value := _value(store, pod, container, variable)) is not None:
            made[variable["name"]] = expand(value, made) if "valueFrom" not in variable else value
    return made


def expand(text: str, values: dict[str, str]) -> str:
    """`$(NAME)` by its value; `$$(NAME)` and unknown names stay, less one dollar."""

    def one(found: re.Match[str]) -> str:
        return "$" if found[1] == "$" else values.get(found[2], found[0])

    return _REFERENCE.sub(one, text)


def _value(store: Store, pod: Object, container: Object, variable: Object) -> str | None:
    source = variable.get("valueFrom")
    if not source:
        return str(variable.get("value") or "")
    if "fieldRef" in source:
        return field_of(pod, source["fieldRef"]["fieldPath"])
    if "resourceFieldRef" in source:
        return resource_of(pod, container, source["resourceFieldRef"])
    kind = "secrets" if "secretKeyRef" in source else "configmaps"
    reference = source.get("secretKeyRef") or source["configMapKeyRef"]
    namespace, optional = pod["metadata"]["namespace"], bool(reference.get("optional"))
    values = data_of(store, kind, namespace, reference["name"], optional)
    if reference["key"] in values:
        return values[reference["key"]].decode()
    if optional:
        return None
    word = "Secret" if kind == "secrets" else "ConfigMap"
    told = f"couldn't find key {reference['key']} in {word} {namespace}/{reference['name']}"
    raise NotReadyError("CreateContainerConfigError", told)


def data_of(store: Store, kind: str, namespace: str, name: str, optional: bool) -> dict[str, bytes]:
    """The bytes of a ConfigMap or a Secret by key. Raises NotReadyError where it is missing and not optional."""
    with store.lock:
        found = store.table(named(kind)).get((namespace, name))
    if found is None and optional:
        return {}
    if found is None:
        raise NotReadyError("CreateContainerConfigError", f'{named(kind).kind.lower()} "{name}" not found')
    encoded = {key: base64.b64decode(value) for key, value in (found.get("binaryData") or {}).items()}
    if kind == "secrets":
        return {key: base64.b64decode(value) for key, value in (found.get("data") or {}).items()}
    return {key: value.encode() for key, value in (found.get("data") or {}).items()} | encoded


def field_of(pod: Object, path: str) -> str:
    """The downward API's view of a pod. Raises NotReadyError for a field that it does not have."""
    metadata, spec = pod["metadata"], pod["spec"]
    if keyed := _KEYED.fullmatch(path):
        return str((metadata.get(keyed[1]) or {}).get(keyed[2], ""))
    if path in ("metadata.labels", "metadata.annotations"):
        values = metadata.get(path.partition(".")[2]) or {}
        return "\n".join(f'{key}="{value}"' for key, value in sorted(values.items()))
    known = {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata["namespace"],
        "metadata.uid": metadata["uid"],
        "spec.nodeName": spec.get("nodeName", ""),
        "spec.serviceAccountName": spec.get("serviceAccountName", ""),
        "status.podIP": "127.0.0.1",
        "status.podIPs": "127.0.0.1",
        "status.hostIP": "127.0.0.1",
    }
    if path not in known:
        raise NotReadyError("CreateContainerConfigError", f"field label not supported: {path}")
    return str(known[path])


def resource_of(pod: Object, container: Object, reference: Object) -> str:
    """A container's own limit or request, in units of the divisor, rounded up."""
    spec = pod["spec"]
    owner = container
    if reference.get("containerName"):
        owner = next(c for c in spec["containers"] if c["name"] == reference["containerName"])
    kind, _, name = reference["resource"].partition(".")
    amount = ((owner.get("resources") or {}).get(kind) or {}).get(name, "0")
    divisor = quantities.parse(reference.get("divisor") or "1") or quantities.parse("1")
    return str(ceil(quantities.parse(amount) / divisor))
