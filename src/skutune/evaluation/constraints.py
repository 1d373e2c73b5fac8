"""Constraints of a question: what its products must state, and what an answer must not just repeat.

Both are read with the linker's lexicon. A product that does not state a constraint of the question violates it, just as
it would be no candidate for a name with that constraint; an apple violates "vegan" in a shop that does not state it. An
answer that recommends tortilla chips only repeats a question about what goes *with* them, or *instead of* them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skutune.linking.index.lexical import LexicalIndex
from skutune.linking.names.lexicon import LEXICON
from skutune.linking.names.phrase import read_phrase

_THING = rf"\b(?:tree\s+)?(?:{'|'.join(sorted(LEXICON.substances, key=len, reverse=True))})(?:e?s)?\b"
_THINGS = rf"(?P<things>{_THING}(?:\s*(?:,|\band\b|\bor\b|&)+\s*{_THING})*)"
_MUST_AVOID = re.compile(
    r"\b(?:allerg(?:y|ies|ic)\s+to|intolera(?:nt|nce)\s+(?:of|to)|avoid(?:s|ing)?|(?:can\s?not|can['’]t|do(?:es)?\s+not|"
    rf"do(?:es)?n['’]t|never)\s+(?:eat|have|drink|tolerate))\s+(?:any\s+|all\s+)?{_THINGS}",
    re.IGNORECASE,
)
_ALLERGY = re.compile(rf"{_THINGS}\s+(?:allerg(?:y|ies|ic)|intolera(?:nt|nce))", re.IGNORECASE)
_EACH = re.compile(_THING, re.IGNORECASE)
# "I have no milk" misses it, "a keto diet" is no diet product.
_NO_DEMAND = re.compile(
    r"\b(?:have|has|had|got|there(?:['’]s|\s+is))\s+no\b|\bdiets?\b(?!\s+(?:soda|cola|coke|pop|drink|tea)s?\b)",
    re.IGNORECASE,
)
_LEAD = (
    r"(?:go(?:es)?|pairs?|serve[ds]?|eat|have|taste[ds]?)\s+(?:[\w-]+\s+){0,2}?(?:with|alongside|beside)|"
    r"(?:accompany|complement|alongside|pairing\s+for|pairs\s+for)|"
    r"(?:instead\s+of|in\s+place\s+of|replace|(?:substitute|alternative|replacement)s?\s+(?:for|to))"
)
_THE = (
    r"(?:\s+(?:a|an|the|some|my|our|your|of|(?:glass|cup|bowl|plate|slice|piece|bottle|can|bag|box|pot)s?(?=\s+of)))*"
)
_ANCHOR = re.compile(rf"\b(?:{_LEAD}){_THE}\s+(?P<anchor>[^?.!,;]+)", re.IGNORECASE)
_ANCHOR_ENDS = re.compile(r"\s+(?:at|for|in|on|when|if|that|which|as|and|or|to|with|without|during|tonight)\s", re.I)


@dataclass(frozen=True, slots=True)
class Constraints:
    """The constraints of one question. `repeated` is the product that the question names; "" if it names none."""

    constraints: tuple[str, ...]
    repeated: str
    _breaking: NDArray[np.bool_] | None
    _same: frozenset[int]
    _rows: dict[str, int]

    def violations(self, ids: Iterable[str]) -> list[str]:
        """The ids whose product violates a constraint; unknown ids are ignored."""
        if self._breaking is None:
            return []
        return [each for each in ids if each in self._rows and self._breaking[self._rows[each]]]

    def repeats(self, ids: Iterable[str]) -> bool:
        """Whether one of the ids is the product that the question names."""
        return any(self._rows.get(each) in self._same for each in ids)


class ConstraintReader:
    """Reads the constraints of questions for one catalog; `ids` are its product ids in the order of the index."""

    def __init__(self, index: LexicalIndex, ids: Sequence[str]) -> None:
        self._index, self._rows = index, {each: row for row, each in enumerate(ids)}

    def of(self, question: str) -> Constraints:
        """The constraints of a question."""
        asked = stated(question)
        query = self._index.query(asked)
        repeated = pairing_target(question)
        same = frozenset(self._index.same_thing(self._index.query(repeated)).tolist()) if repeated else frozenset[int]()
        constraints = tuple(sorted(read_phrase(asked).constraints))
        breaking = self._index.violating(query)
        return Constraints(constraints, repeated if same else "", breaking, same, self._rows)


def stated(question: str) -> str:
    """The question with its constraints in the words of a label: "allergic to nuts" as "nuts free".

    >>> stated("Which crackers suit a child with a peanut allergy?")
    'Which crackers suit a child with a peanut free?'
    """
    question = _NO_DEMAND.sub(" ", question)
    for pattern in (_MUST_AVOID, _ALLERGY):
        question = pattern.sub(_each_free, question)
    return question


def pairing_target(question: str) -> str:
    """The item that a question wants to pair or replace: "tortilla chips" in "What goes with tortilla chips?", or "".

    >>> pairing_target("What can I serve alongside my grilled salmon for dinner?")
    'grilled salmon'
    """
    found = _ANCHOR.search(question)
    if found is None:
        return ""
    return _ANCHOR_ENDS.split(found["anchor"] + " ", maxsplit=1)[0].strip()


def _each_free(match: re.Match[str]) -> str:
    return ", ".join(f"{thing} free" for thing in _EACH.findall(match["things"]))
