"""Validation of pod specs and pod templates."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from . import quantities
from .problems import Object

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL_WORDS = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
    "and must start and end with an alphanumeric character"
)
_PORT_NAME_LENGTH = 15
_WORDS = {
    "restartPolicy": ("Always", "OnFailure", "Never"),
    "imagePullPolicy": ("Always", "IfNotPresent", "Never"),
    "terminationMessagePolicy": ("File", "FallbackToLogsOnError"),
}
_NATIVE = {"cpu", "memory", "ephemeral-storage"}


class Causes:
    """The wrong fields found so far, in the API's words."""

    def __init__(self) -> None:
        self.found: list[Object] = []

    def add(self, reason: str, field: str, message: str) -> None:
        self.found.append({"reason": reason, "message": message, "field": field})

    def invalid(self, field: str, value: Any, why: str) -> None:
        self.add("FieldValueInvalid", field, f"Invalid value: {json.dumps(value)}: {why}")

    def required(self, field: str, why: str) -> None:
        self.add("FieldValueRequired", field, f"Required value: {why}" if why else "Required value")

    def unsupported(self, field: str, value: Any, supported: Sequence[str]) -> None:
        listed = ", ".join(json.dumps(one) for one in supported)
        self.add("FieldValueNotSupported", field, f"Unsupported value: {json.dumps(value)}: supported values: {listed}")


def check_template(template: Object, at: str, causes: Causes, restart: Sequence[str] = ()) -> None:
    """A template's spec; `restart` are the restart policies that its owner allows (none named: all)."""
    spec, field = template.get("spec") or {}, f"{at}.spec.restartPolicy"
    policy = spec.get("restartPolicy")
    if restart and not policy:
        causes.required(field, "valid values: " + ", ".join(json.dumps(one) for one in restart))
    elif restart and policy not in restart:
        causes.unsupported(field, policy, restart)
    check_pod_spec(spec, f"{at}.spec", causes)


def check_pod_spec(spec: Object, at: str, causes: Causes) -> None:
    """Containers, volumes, mounts and resources."""
    if not spec.get("containers"):
        causes.required(f"{at}.containers", "")
    volumes = _check_volumes(spec.get("volumes") or [], f"{at}.volumes", causes)
    _check_words(spec, ("restartPolicy",), at, causes)
    for field in ("hostname", "subdomain"):
        if spec.get(field):
            check_name(spec[field], f"{at}.{field}", causes)
    seen: set[str] = set()
    for kind in ("initContainers", "containers"):
        for number, container in enumerate(spec.get(kind) or []):
            field = f"{at}.{kind}[{number}]"
            _check_container(container, field, volumes, causes)
            if container.get("name") in seen:
                causes.add("FieldValueDuplicate", f"{field}.name", f'Duplicate value: "{container["name"]}"')
            seen.add(container.get("name", ""))


def check_name(name: Any, field: str, causes: Causes) -> None:
    """A name of a container, volume or Service: a label of at most 63 characters."""
    if not name:
        causes.required(field, "")
    elif not _LABEL.fullmatch(str(name)) or len(str(name)) > 63:
        causes.invalid(field, name, _LABEL_WORDS)


def _check_volumes(volumes: list[Object], at: str, causes: Causes) -> set[str]:
    names: set[str] = set()
    for number, volume in enumerate(volumes):
        check_name(volume.get("name"), f"{at}[{number}].name", causes)
        if volume.get("name") in names:
            causes.add("FieldValueDuplicate", f"{at}[{number}].name", f'Duplicate value: "{volume["name"]}"')
        names.add(volume.get("name", ""))
        sources = [key for key, value in volume.items() if key != "name" and value is not None]
        if not sources:
            causes.required(f"{at}[{number}]", "must specify a volume type")
        if len(sources) > 1:
            causes.add(
                "FieldValueForbidden",
                f"{at}[{number}].{sources[1]}",
                "Forbidden: may not specify more than 1 volume type",
            )
    return names


def check_port(port: Object, field: str, at: str, causes: Causes) -> None:
    """A port's number (under `field`) and its name, which is short by RFC 6335."""
    number, name = port.get(field), port.get("name")
    if not isinstance(number, int) or not 0 < number < 65536:
        causes.invalid(f"{at}.{field}", number, "must be between 1 and 65535, inclusive")
    if name and (len(name) > _PORT_NAME_LENGTH or not _LABEL.fullmatch(name)):
        causes.invalid(f"{at}.name", name, f"must be no more than {_PORT_NAME_LENGTH} characters")


def _check_words(found: Object, fields: Sequence[str], at: str, causes: Causes) -> None:
    """Fields that take one of a few words."""
    for field in fields:
        if found.get(field) not in (None, *_WORDS[field]):
            causes.unsupported(f"{at}.{field}", found[field], _WORDS[field])


def _check_container(container: Object, at: str, volumes: set[str], causes: Causes) -> None:
    check_name(container.get("name"), f"{at}.name", causes)
    if not container.get("image"):
        causes.required(f"{at}.image", "")
    _check_words(container, ("imagePullPolicy", "terminationMessagePolicy"), at, causes)
    for number, port in enumerate(container.get("ports") or []):
        check_port(port, "containerPort", f"{at}.ports[{number}]", causes)
    for number, variable in enumerate(container.get("env") or []):
        if not variable.get("name"):
            causes.required(f"{at}.env[{number}].name", "")
        if variable.get("value") and variable.get("valueFrom"):
            causes.invalid(f"{at}.env[{number}].valueFrom", "", "may not be specified when `value` is not empty")
    paths: set[str] = set()
    for number, mount in enumerate(container.get("volumeMounts") or []):
        if mount.get("name") not in volumes:
            causes.add("FieldValueNotFound", f"{at}.volumeMounts[{number}].name", f'Not found: "{mount.get("name")}"')
        if mount.get("mountPath") in paths:
            causes.invalid(f"{at}.volumeMounts[{number}].mountPath", mount["mountPath"], "must be unique")
        paths.add(mount.get("mountPath", ""))
    _check_resources(container.get("resources") or {}, f"{at}.resources", causes)


def _check_resources(resources: Object, at: str, causes: Causes) -> None:
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    for kind, amounts in (("limits", limits), ("requests", requests)):
        for name, amount in amounts.items():
            try:
                parsed = quantities.parse(amount)
            except ValueError:
                causes.invalid(
                    f"{at}.{kind}[{name}]",
                    amount,
                    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
                )
                continue
            if name not in _NATIVE and "/" in name and parsed != int(parsed):
                causes.invalid(f"{at}.{kind}[{name}]", amount, "must be an integer")
    for name, amount in requests.items():
        limit = limits.get(name)
        extended = "/" in name
        if extended and limit is None:
            causes.required(f"{at}.limits", "Limit must be set for non overcommitable resources")
        elif extended and str(limit) != str(amount):
            causes.invalid(f"{at}.requests", str(amount), f"must be equal to {name} limit of {limit}")
        elif limit is not None and _more(amount, limit):
            causes.invalid(f"{at}.requests", str(amount), f"must be less than or equal to {name} limit of {limit}")


def _more(amount: Any, limit: Any) -> bool:
    try:
        return quantities.parse(amount) > quantities.parse(limit)
    except ValueError:
        return False  # told already
