"""Text normalization: folding to one line, truncation, normal forms of names, and words."""

from __future__ import annotations

import re
import unicodedata

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*%?", re.UNICODE)


def fold(text: str) -> str:
    """Fold a text to one line: NFC, trimmed, control characters and runs of white space replaced by single spaces."""
    normal = unicodedata.normalize("NFC", text)
    if not normal.isprintable():  # one check per text is faster, and a catalog has hundreds of thousands of texts
        normal = "".join(character if character.isprintable() else " " for character in normal)
    return " ".join(normal.split())


def cut_text(text: str, characters: int) -> str:
    """Truncate a text to this length: after a sentence in its second half, else after a word, followed by "…"."""
    if len(text) <= characters:
        return text
    start = text[:characters]
    if (end := max(start.rfind(mark) for mark in (". ", "! ", "? ", "。"))) >= characters // 2:
        return start[: end + 1]
    return start[: max(start.rfind(" "), 0) or characters - 1].rstrip(" ,;:-–—")[: characters - 1] + "…"


def normalise_name(name: str) -> str:
    """The normal form for comparing names: NFKC, case-folded, without extra white space or outer punctuation."""
    folded = unicodedata.normalize("NFKC", fold(name)).casefold()
    return " ".join(folded.split()).strip(" .,;:!?\"'`*-–—")


def words(text: str) -> list[str]:
    """The case-folded words of a text, in order."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())
