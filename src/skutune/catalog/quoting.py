"""Rows of a text table whose quotes need not follow RFC 4180.

Exports write `27" monitor`, `"Classic" desk lamp` or an opening quote that is never closed. A reader that follows the
standard closes such a quote at the quote of a later row, and all products between vanish without an error. Here a row
is read by the standard first. Where that fails, or where a quoted field spans lines each of which has all columns by
itself, the quote is taken as a character, and the row is counted.
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

from skutune.catalog.notes import Note, Notes

Quoting = Literal["auto", "standard", "none"]

FIELD_LINES = 1000
"""A quoted field is not followed over more lines than this; its opening quote is then taken as a character."""

_UNCLOSED = "a quote opens here and is not closed at the end of the field; close it, or double quotes inside a field"


@dataclass(frozen=True, slots=True)
class Row:
    """The fields of one row. `line` is its first line, from 1; `lines` the number of its lines."""

    line: int
    fields: list[str]
    text: str
    lines: int = 1


@dataclass(frozen=True, slots=True)
class FaultyRow:
    """A row that cannot be split, with the reason."""

    line: int
    reason: str
    text: str


class RowReader:
    """Iterates over the rows of a table, without blank ones.

    Attributes:
        columns: the number of columns, set once the header is known; None: unknown.
    """

    def __init__(self, lines: Iterator[str], delimiter: str, quoting: Quoting, notes: Notes) -> None:
        self.columns: int | None = None
        self._lines, self._delimiter, self._quoting, self._notes = lines, delimiter, quoting, notes
        self._returned: deque[str] = deque()
        self._line = 0

    def __iter__(self) -> Iterator[Row | FaultyRow]:
        while (line := self._next_line()) is not None:
            if not line.strip():
                continue
            if not line.strip(f"{self._delimiter} \t\r\n"):
                self._notes.add(Note.EMPTY_ROWS, self._line)
                continue
            yield self._row(line)

    def fits(self, fields: list[str]) -> bool:
        """Whether there is one field a column; further fields may follow if they are empty."""
        columns = len(fields) if self.columns is None else self.columns
        return len(fields) >= columns and not any(field.strip() for field in fields[columns:])

    def _row(self, line: str) -> Row | FaultyRow:
        if self._quoting == "none" or '"' not in line:
            return Row(self._line, _split(line, self._delimiter), line)
        first, lines = self._line, [line]
        try:
            parser = csv.reader(self._following(lines), delimiter=self._delimiter, strict=True, skipinitialspace=True)
            fields = next(parser)
        except csv.Error as error:
            return self._not_standard(first, lines, _reason(error, lines))
        if self._quoting == "standard":
            return Row(first, fields, "".join(lines), len(lines))
        if len(lines) == 1:
            return Row(first, fields, line) if self.fits(fields) else self._lenient(first, line, fields)
        if self.columns is None or not all(self.fits(split_line(each, self._delimiter)) for each in lines):
            return Row(first, fields, "".join(lines), len(lines))
        return self._not_standard(first, lines, _UNCLOSED)

    def _following(self, lines: list[str]) -> Iterator[str]:
        """The lines of a row: the first one, and as many as the parser asks for; these are added to `lines`."""
        yield lines[0]
        while len(lines) < FIELD_LINES and (line := self._next_line()) is not None:
            lines.append(line)
            yield line

    def _not_standard(self, first: int, lines: list[str], reason: str) -> Row | FaultyRow:
        """The first line alone, its quotes as characters where that gives all columns."""
        self._return(lines[1:])
        if self._quoting == "auto" and self.columns is not None:
            fields = split_line(lines[0], self._delimiter)
            if self.fits(fields):
                self._notes.add(Note.STRAY_QUOTES, first)
                return Row(first, fields, lines[0])
        return FaultyRow(first, reason, lines[0])

    def _lenient(self, first: int, line: str, fields: list[str]) -> Row:
        lenient = split_line(line, self._delimiter)
        if self.fits(lenient):
            self._notes.add(Note.STRAY_QUOTES, first)
            return Row(first, lenient, line)
        return Row(first, fields, line)

    def _next_line(self) -> str | None:
        line = self._returned.popleft() if self._returned else next(self._lines, None)
        self._line += line is not None
        return line

    def _return(self, lines: list[str]) -> None:
        self._returned.extendleft(reversed(lines))
        self._line -= len(lines)


def split_line(line: str, delimiter: str) -> list[str]:
    """The fields of one line, where a quote closes its field only before a delimiter or the line's end."""
    line = line.rstrip("\r\n")
    if '"' not in line:
        return line.split(delimiter)
    fields, place, field = [], 0, _field(delimiter)
    while True:
        match = field.match(line, place)
        assert match is not None, line  # the second alternative matches everything
        quoted, bare = match.groups()
        fields.append(bare if quoted is None else quoted.replace('""', '"'))
        place = match.end() + 1
        if place > len(line):
            return fields


def _split(line: str, delimiter: str) -> list[str]:
    return line.rstrip("\r\n").split(delimiter)


def _reason(error: csv.Error, lines: list[str]) -> str:
    # A quote that opens on the file's last line spans none, and shows by the file's end alone.
    if len(lines) > 1 or "end of data" in str(error):
        return _UNCLOSED
    if "field limit" in str(error):
        return f"a field is longer than {csv.field_size_limit():,} characters"
    return "text follows a closing quote; double quotes inside a quoted field"


@cache
def _field(delimiter: str) -> re.Pattern[str]:
    """A quoted field (group 1: its content, quotes still doubled) or a bare one (group 2)."""
    end = rf" *(?:{re.escape(delimiter)}|$)"
    content = rf'(?:[^"]|""|"(?!{end}))*+'  # possessive: backtracking over runs of quotes is exponential
    return re.compile(rf' *"({content})"(?={end}) *|([^{re.escape(delimiter)}]*)')
