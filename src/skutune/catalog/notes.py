"""What was changed or left out while a catalog was read: counted by kind, with the first lines of each."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

SHOWN_LINES = 5
"""Lines kept of each kind."""


class Note(StrEnum):
    """A kind of change. The value completes the sentence "12 rows: …"."""

    STRAY_QUOTES = "stray quotes, read as characters (catalog.quoting)"
    EMPTY_ROWS = "only delimiters, skipped"
    INHERITED = "empty cells filled from the product's first row (catalog.inherit)"
    NO_VARIANT = "further rows of a product without an id of their own, skipped (catalog.inherit)"
    ID_UNQUOTED = 'spreadsheet text marker removed from the id (="00417" or \'00417)'
    MARKUP = "HTML tags or entities removed (catalog.markup)"
    NESTED = "nested JSON written out as text (catalog.markup)"
    LINKS = "links and media records left out (catalog.markup)"
    PLACEHOLDERS = "placeholders such as NULL or #N/A taken as empty (catalog.markup)"
    MERGED = "merged into the product with the same id (catalog.duplicates)"
    ATTRIBUTE_CUT = "attributes cut (catalog.attribute_characters)"


@dataclass(slots=True)
class Notes:
    """Rows counted by kind; a row counts once a kind.

    `empty_parts` counts, for each column of a name template, the products whose name lacks it.
    """

    counts: Counter[Note] = field(default_factory=Counter)
    lines: dict[Note, list[int]] = field(default_factory=dict)
    empty_parts: Counter[str] = field(default_factory=Counter)

    def add(self, note: Note, line: int) -> None:
        """Count the row that begins on this line."""
        lines = self.lines.setdefault(note, [])
        if lines and lines[-1] == line:
            return
        self.counts[note] += 1
        if len(lines) < SHOWN_LINES:
            lines.append(line)
