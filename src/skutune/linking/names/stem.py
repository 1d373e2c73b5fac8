"""One form for a word: without plural and accents, in one spelling."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from skutune.linking.names.lexicon import SPELLINGS

_SHORT = re.compile(r"[^aeiouy]{2}s")  # TVs and CDs; "gas" and "bus" have a vowel


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """The word without plural and accents and in one spelling. Source: own rules for English; no dictionary."""
    word = _plain(word).removesuffix("'s").removesuffix("’s").replace("'", "").replace("’", "")
    singular = _singular(word)
    return SPELLINGS.get(word) or SPELLINGS.get(singular, singular)


def _plain(word: str) -> str:
    """Latin letters without their accents."""
    if word.isascii():
        return word
    parts = unicodedata.normalize("NFD", word)
    bare = "".join(part for part in parts if not unicodedata.combining(part))
    return bare if bare.isascii() else word


def _singular(word: str) -> str:
    if len(word) <= 3 or not word.isascii():
        return word[:-1] if _SHORT.fullmatch(word) else word
    if word.endswith("ies") or (word.endswith("ie") and len(word) > 4):
        return word.removesuffix("s") if len(word) == 4 else re.sub("ies?$", "y", word)
    if word.endswith("oes") and len(word) > 5:
        return word[:-1] if word.endswith(("shoes", "noes")) else word[:-2]
    if word.endswith(("sses", "shes", "ches", "xes", "zzes")):
        return word[:-2]
    if word.endswith("che"):  # so that quiche and quiches, brioche and brioches agree
        return word[:-1]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word
