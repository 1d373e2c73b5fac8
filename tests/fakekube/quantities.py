"""Quantities of CPU, memory and devices ("500m", "4Gi", 8), and the total requests of a pod."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from .problems import Object

Amounts = dict[str, Decimal]
_UNITS = {"m": Decimal("0.001"), "": Decimal(1)}
_UNITS |= {unit: Decimal(1000) ** (power + 1) for power, unit in enumerate(["k", "M", "G", "T", "P", "E"])}
_UNITS |= {unit: Decimal(1024) ** (power + 1) for power, unit in enumerate(["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"])}
_QUANTITY = re.compile(r"([+-]?\d+(?:\.\d*)?|[+-]?\.\d+)([eE][+-]?\d+|[a-zA-Z]*)")


def parse(quantity: Any) -> Decimal:
    """The amount as a number. Raises ValueError where it is none."""
    found = _QUANTITY.fullmatch(str(quantity))
    if found and found[2] in _UNITS:
        return Decimal(found[1]) * _UNITS[found[2]]
    if found and found[2][:1] in ("e", "E"):
        return Decimal(found[1] + found[2])
    raise ValueError(f"{quantity!r} is no quantity")


def total(amounts: Mapping[str, Any] | None) -> Amounts:
    return {name: parse(amount) for name, amount in (amounts or {}).items()}


def of_pod(spec: Object, which: str = "requests") -> Amounts:
    """What the containers ask for together, or the largest of the init containers where that is more."""
    summed: Amounts = {}
    for container in spec.get("containers") or []:
        add(summed, total((container.get("resources") or {}).get(which)))
    for container in spec.get("initContainers") or []:
        for name, amount in total((container.get("resources") or {}).get(which)).items():
            summed[name] = max(summed.get(name, Decimal(0)), amount)
    return summed


def add(summed: Amounts, more: Amounts) -> None:
    for name, amount in more.items():
        summed[name] = summed.get(name, Decimal(0)) + amount


def text(amount: Decimal | int) -> str:
    """An amount as quotas and nodes show it."""
    if amount == int(amount):
        return str(int(amount))
    return f"{int(amount * 1000)}m"
