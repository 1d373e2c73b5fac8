"""Names and prose as text: what counts as the same name, and which words a name has."""

from __future__ import annotations

import re
import unicodedata

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*%?", re.UNICODE)


def fold(text: str) -> str:
    """One line: control characters and line breaks become spaces, runs of white space one space, ends trimmed (NFC)."""
    normal = unicodedata.normalize("NFC", text)
    if not normal.isprintable():  # asked once for the text: a catalog folds hundreds of thousands
        normal = "".join(character if character.isprintable() else " " for character in normal)
    return " ".join(normal.split())


def normalise_name(name: str) -> str:
    """What makes two names the same: case, accents' form, white space and outer punctuation do not count."""
    folded = unicodedata.normalize("NFKC", fold(name)).casefold()
    return " ".join(folded.split()).strip(" .,;:!?\"'`*-–—")


def words(text: str) -> list[str]:
    """The words of a text, case-folded, in order."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())
