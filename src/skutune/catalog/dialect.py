"""The delimiter of a text table: configured, stated by a `sep=` line, or detected from the header and the first rows.

A candidate whose header has the configured columns wins; otherwise the one that splits the first rows most uniformly.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from skutune.catalog.quoting import split_line

DELIMITERS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "vertical bar"}
"""The detected delimiters, and what a report calls them."""

SAMPLE_LINES = 100
"""Lines that the detection reads."""

_SEPARATOR_LINE = re.compile(r"\s*\"?sep=(.)\"?\s*$", re.IGNORECASE)


def stated_delimiter(line: str) -> str | None:
    """The delimiter that a spreadsheet's `sep=;` line states; None for any other line."""
    match = _SEPARATOR_LINE.match(line.rstrip("\r\n"))
    return match[1] if match else None


def detect_delimiter(lines: Sequence[str], default: str, columns: Sequence[str]) -> str:
    """The delimiter of a table.

    Args:
        lines: the first lines without blank ones; the header comes first.
        default: the delimiter that the file's suffix implies; it wins ties.
        columns: the columns that the table must have.
    """
    candidates = [default, *(delimiter for delimiter in DELIMITERS if delimiter != default)]
    headers = {delimiter: {name.strip() for name in split_line(lines[0], delimiter)} for delimiter in candidates}
    for delimiter in candidates:
        if headers[delimiter].issuperset(columns):
            return delimiter
    return max(candidates, key=lambda delimiter: _uniformity(lines, delimiter))


def _uniformity(lines: Sequence[str], delimiter: str) -> tuple[float, int]:
    """The share of lines with as many fields as the header, and that number; zeros where it does not split."""
    widths = [len(split_line(line, delimiter)) for line in lines]
    return (widths.count(widths[0]) / len(widths), widths[0]) if widths[0] > 1 else (0.0, 0)
