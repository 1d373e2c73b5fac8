"""Text normalization: folding to one line, comparing names, and splitting into words."""

from __future__ import annotations

import re
import unicodedata

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*%?", re.UNICODE)


def fold(text: str) -> str:
    """The text on one line: NFC, trimmed, control characters and runs of white space as one space each."""
    normal = unicodedata.normalize("NFC", text)
    if not normal.isprintable():  # one check for the whole text: a catalog has hundreds of thousands of them
        normal = "".join(character if character.isprintable() else " " for character in normal)
    return " ".join(normal.split())


def cut_text(text: str, characters: int) -> str:
    """The text of at most this many characters: cut after a sentence in its second half, else after a word with "…"."""
    if len(text) <= characters:
        return text
    start = text[:characters]
    if (end := max(start.rfind(mark) for mark in (". ", "! ", "? ", "。"))) >= characters // 2:
        return start[: end + 1]
    return start[: max(start.rfind(" "), 0) or characters - 1].rstrip(" ,;:-–—")[: characters - 1] + "…"


def normalise_name(name: str) -> str:
    """The form in which names are compared: NFKC, case-folded, without extra white space or outer punctuation."""
    folded = unicodedata.normalize("NFKC", fold(name)).casefold()
    return " ".join(folded.split()).strip(" .,;:!?\"'`*-–—")


def words(text: str) -> list[str]:
    """The case-folded words of a text, in order."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())
