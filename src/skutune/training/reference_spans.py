"""Where an answer references products, and where it may be cut, in characters."""

from __future__ import annotations

import re
from dataclasses import dataclass

from skutune.answer_format import MARKER, NO_PRODUCT

Span = tuple[int, int]
"""Begin and end of a piece of a text, in characters; the end is outside."""

_REFERENCE = re.compile(rf"^(?:{re.escape(MARKER)} (?P<product>.+: id \S+)\)|{re.escape(NO_PRODUCT)})$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class AnswerSpans:
    """What is special in an answer: `products`, each the `NAME: id ID` of a reference, and `ends`, the characters after
    which the answer may be cut; None where it may be cut anywhere, for it names nothing.
    """

    products: tuple[Span, ...]
    ends: tuple[int, ...] | None


def spans_of(answer: str, is_identity: bool) -> AnswerSpans:
    """The references of an answer; of an identity, which is `NAME: id ID` as a whole, all of it and no place to cut."""
    if is_identity:
        return AnswerSpans(((0, len(answer)),), ())
    found = list(_REFERENCE.finditer(answer))
    products = tuple(each.span("product") for each in found if each["product"] is not None)
    return AnswerSpans(products, tuple(each.end() for each in found) or None)
