"""Decodes protobuf bodies, which typed Go clients send (helm's Secrets, `kubectl create job --from`, delete options).

`messages.json` holds the field numbers of the messages that can come, taken from the generated.proto files of
Kubernetes 1.37: {message: {number: [JSON name, one|list|map, type]}}. Only decoding is needed: answers are JSON.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from .clock import FORMAT
from .problems import Object, unsupported

MAGIC = b"k8s\0"
# Messages that Go embeds: their fields stand in JSON where the message's own name would.
_INLINE = {"volumeSource", "handler", "localObjectReference", "persistentVolumeSource"}
_PACKAGES = ("core.v1", "batch.v1", "meta.v1", "policy.v1", "authorization.v1", "authentication.v1", "coordination.v1")


@cache
def _messages() -> dict[str, dict[str, tuple[str, str, str]]]:
    found: dict[str, dict[str, tuple[str, str, str]]] = json.loads(
        Path(__file__).with_name("messages.json").read_text()
    )
    return found


def decode(body: bytes) -> Object:
    """An object out of its protobuf envelope. Raises ApiError (415) for a kind that is not known here."""
    envelope = dict(_fields(body[len(MAGIC) :]))
    type_meta = dict(_fields(envelope.get(1, b"")))
    api_version, kind = type_meta.get(1, b"").decode(), type_meta.get(2, b"").decode()
    name = next((f"{package}.{kind}" for package in _PACKAGES if f"{package}.{kind}" in _messages()), None)
    if name is None:
        raise unsupported(f"protobuf of {kind} is not decoded here")
    return {"apiVersion": api_version, "kind": kind, **_message(name, envelope.get(2, b""))}


def _fields(buffer: bytes) -> Iterator[tuple[int, Any]]:
    """(number, int or bytes) of one message."""
    at = 0
    while at < len(buffer):
        tag, at = _varint(buffer, at)
        if tag & 7 == 0:
            value: Any
            value, at = _varint(buffer, at)
        elif tag & 7 == 2:
            size, at = _varint(buffer, at)
            value, at = buffer[at : at + size], at + size
        else:
            raise unsupported(f"protobuf wire type {tag & 7}")
        yield tag >> 3, value


def _varint(buffer: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = buffer[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def _message(name: str, buffer: bytes) -> Object:
    known, made = _messages()[name], Object()
    for number, raw in _fields(buffer):
        if str(number) not in known:
            continue
        field, how, kind = known[str(number)]
        if how == "map":
            pair = dict(_fields(raw))
            made.setdefault(field, {})[pair.get(1, b"").decode()] = _value(kind, pair.get(2, b""))
        elif how == "list":
            made.setdefault(field, []).append(_value(kind, raw))
        elif field in _INLINE:
            made |= _value(kind, raw)
        elif (value := _value(kind, raw)) not in (None, ""):  # Go writes every string, empty ones too
            made[field] = value
    return made


def _value(kind: str, raw: Any) -> Any:
    match kind:
        case "string":
            return raw.decode()
        case "bytes":
            return base64.b64encode(raw).decode()
        case "bool":
            return bool(raw)
        case "api.resource.Quantity":
            return dict(_fields(raw)).get(1, b"").decode()
        case "util.intstr.IntOrString":
            parts = dict(_fields(raw))
            return parts.get(3, b"").decode() if parts.get(1) else parts.get(2, 0)
        case "meta.v1.Time" | "meta.v1.MicroTime":
            seconds = dict(_fields(raw)).get(1)
            return datetime.fromtimestamp(seconds, UTC).strftime(FORMAT) if seconds else None
        case "meta.v1.FieldsV1":
            return json.loads(dict(_fields(raw)).get(1, b"{}"))
    if kind in _messages():
        return _message(kind, raw)
    return raw - (1 << 64) if raw >= 1 << 63 else raw
