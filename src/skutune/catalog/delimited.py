"""csv and tsv: quoted fields may contain line breaks, but an unclosed quote must not swallow the file.

The reader is strict: text after a closing quote is an error in its row, because guessing would put a garbled name into
the training data. If the error comes after a line break inside quotes, an earlier stray quote has swallowed products,
and the whole file is refused.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from skutune.catalog.files import text_lines
from skutune.catalog.records import Record, Table, excerpt
from skutune.errors import InputError
from skutune.records import Reject

_DELIMITER_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}


def read_delimited(path: Path, delimiter: str) -> Table:
    """The table of a csv or tsv file, whose first row names the columns.

    Raises:
        InputError: no header, another delimiter, or an unclosed quote, which is detected while the rows are read.
    """
    rows = _Rows(path, delimiter)
    header = next(rows, None)
    if header is None:
        raise InputError(f"catalog {path}: has no header and no products")
    if isinstance(header, Reject):
        raise InputError(f"catalog {path}, line {header.line}: the header cannot be read: {header.reason}")
    line, fields, content = header
    columns = tuple(field.strip() for field in fields)
    _check_delimiter(path, delimiter, columns, content)
    return Table(columns, f"the header on line {line}", _records(rows, columns))


def _records(rows: _Rows, columns: tuple[str, ...]) -> Iterator[Record | Reject]:
    for row in rows:
        if isinstance(row, Reject):
            yield row
            continue
        line, fields, content = row
        if len(fields) == len(columns):
            yield Record(line, dict(zip(columns, fields, strict=True)), content)
        else:
            yield Reject(line, _miscounted(len(fields), len(columns), rows.lines_of_row), excerpt(content))


def _miscounted(found: int, wanted: int, lines: int) -> str:
    few = "few" if found < wanted else "many"
    hint = f"; the row runs over {lines:,} lines: is a quote not closed?" if lines > 1 else ""
    return f"too {few} fields: {found}, the header has {wanted}{hint}"


class _Rows:
    """Rows as (line, fields, raw text), without blank lines; errors in one row become rejects."""

    def __init__(self, path: Path, delimiter: str) -> None:
        self._path, self._delimiter = path, delimiter
        self._raw: list[str] = []
        self._reader = csv.reader(self._remembered(), delimiter=delimiter, strict=True, skipinitialspace=True)

    @property
    def lines_of_row(self) -> int:
        """Number of lines of the last row."""
        return len(self._raw)

    def __iter__(self) -> _Rows:
        return self

    def __next__(self) -> tuple[int, list[str], str] | Reject:
        while True:
            self._raw.clear()
            line = self._reader.line_num + 1
            try:
                fields = next(self._reader)
            except csv.Error as error:
                return self._fault(line, str(error))
            raw = "".join(self._raw)
            if raw.strip():
                return line, fields, raw

    def _unclosed(self, line: int) -> InputError:
        """The error for an unclosed quote on this line that swallowed the following rows."""
        return InputError(
            f"catalog {self._path}, line {line}: a quote opens here and is not closed at the end of the field; "
            "close it, or double quotes inside a quoted field"
        )

    def _remembered(self) -> Iterator[str]:
        for line in text_lines(self._path):
            self._raw.append(line)
            yield line

    def _fault(self, line: int, error: str) -> Reject:
        # A quote that opens on the file's last line swallows none, and shows by the file's end alone.
        if len(self._raw) > 1 or "end of data" in error:
            raise self._unclosed(line)
        if "field limit" in error:
            reason = f"a field is longer than {csv.field_size_limit():,} characters"
        else:
            reason = "text follows a closing quote; double quotes inside a quoted field"
        return Reject(line, reason, excerpt(self._raw[0]))


def _check_delimiter(path: Path, delimiter: str, columns: tuple[str, ...], header: str) -> None:
    """Refuse a header that has one column with this delimiter and several with another one."""
    if len(columns) > 1:
        return
    counts = {other: header.count(other) for other in _DELIMITER_NAMES if other != delimiter}
    found = max(counts, key=lambda other: counts[other])
    if counts[found]:
        separated = f"separated by {_DELIMITER_NAMES[found]}, not {_DELIMITER_NAMES[delimiter]}"
        cure = {"\t": "name it .tsv", ",": "name it .csv"}.get(found, "save it with commas")
        raise InputError(f"catalog {path}: its columns are {separated}; {cure}")
