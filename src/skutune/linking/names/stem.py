"""The singular of a word, without accents and in one spelling."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from skutune.linking.names.lexicon import LEXICON

_SPELLING = LEXICON.spelling_of
_ACRONYM_PLURAL = re.compile(r"[^aeiouy]{2}s")  # TVs and CDs; "gas" and "bus" have a vowel


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """A case-folded word in the singular, without accents, in the lexicon's spelling. Rules for English."""
    word = _without_accents(word).removesuffix("'s").removesuffix("’s").replace("'", "").replace("’", "")
    singular = _singular(word)
    return _SPELLING.get(word) or _SPELLING.get(singular, singular)


def _without_accents(word: str) -> str:
    """Latin letters lose their accents; other scripts stay as they are."""
    if word.isascii():
        return word
    parts = unicodedata.normalize("NFD", word)
    ascii_word = "".join(part for part in parts if not unicodedata.combining(part))
    return ascii_word if ascii_word.isascii() else word


def _singular(word: str) -> str:
    if len(word) <= 3 or not word.isascii():
        return word[:-1] if _ACRONYM_PLURAL.fullmatch(word) else word
    if word.endswith("ies") or (word.endswith("ie") and len(word) > 4):
        return word.removesuffix("s") if len(word) == 4 else re.sub("ies?$", "y", word)
    if word.endswith("oes") and len(word) > 5:
        return word[:-1] if word.endswith(("shoes", "noes")) else word[:-2]
    if word.endswith(("sses", "shes", "ches", "xes", "zzes")):
        return word[:-2]
    if word.endswith("che"):  # the same as for quiches and brioches
        return word[:-1]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word
