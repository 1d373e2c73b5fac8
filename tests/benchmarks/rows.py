"""One measured figure, and tables of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass
class Row:
    """What was measured: a value with its unit, the target where there is one, and what it is compared with.

    Rows of one suite with a `column` are the cells of one table: `what` is their line.
    """

    suite: str
    what: str
    value: float
    unit: str
    target: str = ""
    column: str = ""


def render(rows: Sequence[Row]) -> str:
    """The rows as aligned text, one a line, after the tables of those that have columns."""
    tables = dict.fromkeys(row.suite for row in rows if row.column)
    blocks = [_table(suite, [row for row in rows if row.suite == suite and row.column]) for suite in tables]
    lines = [[row.suite, row.what, _number(row), row.unit, row.target] for row in rows if not row.column]
    return "\n\n".join([*blocks, *([_aligned(lines, right={2})] if lines else [])])


def _table(title: str, rows: Sequence[Row]) -> str:
    columns = dict.fromkeys(f"{row.column}, {row.unit}" for row in rows)
    lines = [["", *columns]]
    for what in dict.fromkeys(row.what for row in rows):
        cells = {f"{row.column}, {row.unit}": _number(row) for row in rows if row.what == what}
        lines.append([what, *(cells.get(column, "") for column in columns)])
    return f"{title}\n{_aligned(lines, right=set(range(1, len(columns) + 1)))}"


def _number(row: Row) -> str:
    return f"{row.value:,.3g}" if row.value < 1000 else f"{row.value:,.0f}"


def _aligned(lines: Sequence[Sequence[str]], right: set[int]) -> str:
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    signs = [">" if place in right else "<" for place in range(len(widths))]
    shape = "  ".join(f"{{:{sign}{width}}}" for sign, width in zip(signs, widths, strict=True))
    return "\n".join(shape.format(*line).rstrip() for line in lines)
