"""Rewrites constraints before a name is tokenised: "nut- and gluten-free" becomes "nut free gluten free".

Names share one "free" among several substances, deny a constraint ("not vegan"), and print "98 % fat free" on a ham
that contains fat. A constraint that is missed there, or read where it is denied, links an allergen.
"""

from __future__ import annotations

import html
import re

from skutune.linking.names.lexicon import LEXICON

_TAG = re.compile(r"</?[a-z][^<>]*>", re.IGNORECASE)  # names scraped from web pages, or written by a model
_SUBSTANCE = rf"(?:{'|'.join(sorted(LEXICON.substances, key=len, reverse=True))})(?:e?s)?"
_CONJUNCTION = r"\s*,?\s*-?\s*(?:\band\b|\bor\b|&|/|\+)\s*"
_SUBSTANCES = rf"\b{_SUBSTANCE}(?:\s*-?\s*,\s*{_SUBSTANCE})*(?:{_CONJUNCTION}{_SUBSTANCE})+"
_SHARED_FREE = re.compile(rf"({_SUBSTANCES})[\s-]*free\b", re.IGNORECASE)
_FREE_FROM = re.compile(rf"\bfree[\s-]+(?:from|of)\s+({_SUBSTANCES}|\w+)", re.IGNORECASE)
_SHARED_NO = re.compile(rf"\b(?:no|without|zero)\s+(?:any\s+|added\s+)?({_SUBSTANCES})\b", re.IGNORECASE)
_EACH = re.compile(rf"\b{_SUBSTANCE}\b", re.IGNORECASE)
_STATING_WORDS = "|".join(
    sorted(word for word, stated in LEXICON.constraint_of.items() if not stated.endswith("-free"))
)
_DENIED = re.compile(
    rf"\b(?:not|isn['’]t|never)[\s-]+(?:suitable\s+for\s+|certified\s+)?(?:(?:{_STATING_WORDS})s?\b|{_SUBSTANCE}[\s-]*free\b)"
    rf"|\bnon[\s-]+(?:{_STATING_WORDS})s?\b",
    re.IGNORECASE,
)
_PERCENT_FAT_FREE = re.compile(r"(?<![\d.])\d{1,2}(?:\.\d+)?\s*%\s*fat[\s-]*free\b", re.IGNORECASE)
_ZERO_PERCENT = re.compile(rf"(?<![\d.])0\s*%\s*({_SUBSTANCE})\b(?![\s-]*free)", re.IGNORECASE)


def expand_constraints(name: str) -> str:
    """The name without markup and denied constraints, each constraint as "X free"."""
    name = _TAG.sub(" ", html.unescape(name)) if "<" in name or "&" in name else name
    name = _PERCENT_FAT_FREE.sub(" low fat ", _DENIED.sub(" ", name))
    name = _ZERO_PERCENT.sub(r" \1 free ", name)
    for shared in (_FREE_FROM, _SHARED_FREE, _SHARED_NO):
        name = shared.sub(_each_free, name)
    return name


def _each_free(match: re.Match[str]) -> str:
    substances = _EACH.findall(match.group(1)) or [match.group(1)]
    return "".join(f" {substance} free" for substance in substances) + " "
