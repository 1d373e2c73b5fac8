"""One measured figure, and a table of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass
class Row:
    """What was measured: a value with its unit, the target where there is one, and what it is compared with."""

    suite: str
    what: str
    value: float
    unit: str
    target: str = ""


def render(rows: Sequence[Row]) -> str:
    """The rows as aligned text."""
    cells = [
        (row.suite, row.what, f"{row.value:,.3g}" if row.value < 1000 else f"{row.value:,.0f}", row.unit, row.target)
        for row in rows
    ]
    widths = [max(len(line[column]) for line in cells) for column in range(5)]
    lines = []
    for suite, what, value, unit, target in cells:
        lines.append(
            f"{suite:<{widths[0]}}  {what:<{widths[1]}}  {value:>{widths[2]}} {unit:<{widths[3]}}  {target}".rstrip()
        )
    return "\n".join(lines)
