"""What a name forbids, written out: "nut- and gluten-free" as "nut free gluten free", before its words are read.

People share one "free" among several things, say that a thing is *not* vegan, and print "98 % fat free" on a ham that
is not free of fat. A constraint that is lost there, or found where it is denied, links an allergen.
"""

from __future__ import annotations

import html
import re

from skutune.linking.names.lexicon import CONSTRAINTS, FREE

_TAG = re.compile(r"</?[a-z][^<>]*>", re.IGNORECASE)  # names come out of web pages, and so do a model's habits
_THING = rf"(?:{'|'.join(sorted(FREE, key=len, reverse=True))})(?:e?s)?"
_AND = r"\s*,?\s*-?\s*(?:\band\b|\bor\b|&|/|\+)\s*"
_THINGS = rf"\b{_THING}(?:\s*-?\s*,\s*{_THING})*(?:{_AND}{_THING})+"
_SHARED_FREE = re.compile(rf"({_THINGS})[\s-]*free\b", re.IGNORECASE)
_FREE_FROM = re.compile(rf"\bfree[\s-]+(?:from|of)\s+({_THINGS}|\w+)", re.IGNORECASE)
_SHARED_NO = re.compile(rf"\b(?:no|without|zero)\s+(?:any\s+|added\s+)?({_THINGS})\b", re.IGNORECASE)
_EACH = re.compile(rf"\b{_THING}\b", re.IGNORECASE)
_STATES = "|".join(sorted(word for word, stated in CONSTRAINTS.items() if not stated.endswith("-free")))
_DENIED = re.compile(
    rf"\b(?:not|isn['’]t|never)[\s-]+(?:suitable\s+for\s+|certified\s+)?(?:(?:{_STATES})s?\b|{_THING}[\s-]*free\b)"
    rf"|\bnon[\s-]+(?:{_STATES})s?\b",
    re.IGNORECASE,
)
_MOSTLY = re.compile(r"(?<![\d.])\d{1,2}(?:\.\d+)?\s*%\s*fat[\s-]*free\b", re.IGNORECASE)
_NONE_OF = re.compile(rf"(?<![\d.])0\s*%\s*({_THING})\b(?![\s-]*free)", re.IGNORECASE)


def written_out(name: str) -> str:
    """The name without markup, each constraint by itself and none that is denied."""
    name = _TAG.sub(" ", html.unescape(name)) if "<" in name or "&" in name else name
    name = _MOSTLY.sub(" low fat ", _DENIED.sub(" ", name))
    name = _NONE_OF.sub(r" \1 free ", name)
    for shared in (_FREE_FROM, _SHARED_FREE, _SHARED_NO):
        name = shared.sub(_each_free, name)
    return name


def _each_free(match: re.Match[str]) -> str:
    things = _EACH.findall(match.group(1)) or [match.group(1)]
    return "".join(f" {thing} free" for thing in things) + " "
