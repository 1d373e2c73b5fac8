"""Sizes, strengths, model numbers and symbols: "size 3 diapers" are not size 4, "AA" is not "AAA", "C#" is not "C".

A **size** is a slot and a value: size=3, w=60, %=2, iphone=14. The slot is a unit, or the word before the number;
"80x200 cm" has slots for its dimensions. A product contradicts a name if it states another value for a slot of the
name, and does not if it states none: most product names leave some sizes out.

Package quantities are sizes too, but a shopper who asks for 12 ounces accepts 10. Quantities, and numbers before a noun
("7 grain"), are therefore **minor**: they lower a candidate's score and do not exclude it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import combinations

from skutune.linking.names.lexicon import LEXICON
from skutune.linking.names.stem import stem

Size = tuple[str, str]

_STOP_WORDS, _WEAK_WORDS = frozenset(LEXICON.stop_words), frozenset(LEXICON.weak_words)
_UNITS = LEXICON.unit_of
_LETTERS = {"2xl": "xxl", "3xl": "xxxl", "small": "s", "medium": "m", "large": "l"}

_NUMBER = r"(\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+|/\d+)?)"
_RANGE = rf"{_NUMBER}(?:\s?[-–]\s?{_NUMBER})?"
_UNIT = "|".join(re.escape(spelling) for spelling in sorted(_UNITS, key=len, reverse=True))
_WITH_UNIT = re.compile(rf"(?<![\w.,/$]){_RANGE}\+?[\s-]*({_UNIT})(?![\w/])\.?")
_JOINED = re.compile(rf"(?<![\w.,/$-]){_NUMBER}[\s-]*({_UNIT})(?![\w/])", re.IGNORECASE)
_LENGTH = "|".join(
    re.escape(spelling) for spelling in sorted(_UNITS, key=len, reverse=True) if _UNITS[spelling] in ("mm", "cm", "m")
)
_DIMENSION = r"(\d+(?:[.,]\d+)?)"
_DIMENSIONS = re.compile(
    rf"(?<![\w.,/$]){_DIMENSION}\s?[x×]\s?{_DIMENSION}(?:\s?[x×]\s?{_DIMENSION})?(?:[\s-]*({_LENGTH}))?(?!\w|[\s-]*(?:{_UNIT})(?!\w))"
)
_METRIC = re.compile(rf"(?<![\w.,/$]){_DIMENSION}[\s-]*({_LENGTH})(?!\w)")
_CENTIMETERS = {"mm": 0.1, "cm": 1.0, "m": 100.0, "": 1.0}
_NOT_A_STRENGTH = re.compile(r"100%|\d%\s+(?:less|more|off|fewer|lower|reduced|extra|recycled|dv|daily)\b")
_ORDINAL = re.compile(r"(?<!\w)(\d+)(st|nd|rd|th)(?!\w)")
_LETTER = re.compile(r"(?<!\w)(?:size[\s:-]+(small|medium|large|x*[sml])|(x{1,3}[sl]|[23]xl))(?!\w)")
_CELL = re.compile(r"(?<![\w'])(a{2,4})(?!\w)|(?<![\w'])([cd])(?=[\s-](?:cell|batter))")
_BLOCK = re.compile(r"(?<!\w)9[\s-]?v(?:olts?)?(?=[\s-](?:cell|batter))")
_AFTER_WORD = re.compile(rf"(?<![\w'])([^\W\d_]+)[\s.:#-]{{0,2}}{_RANGE}(?![\w%])")
_GLUED = re.compile(r"(?<![\w.,/$])(\d+)([a-z]{1,4})(?!\w)")
_BEFORE_NOUN = re.compile(r"(?<![\w.,/$])(\d+)[\s-]+([a-z]{3,})")
_MAY_HOLD_SIZE = re.compile(r"\d|(?<![a-z])(?:aa|x+[sl]\b|size|[cd][\s-](?:cell|batter))")

_SYMBOLS = (
    (re.compile(r"(?<=\w)\+\+"), "plusplus"),
    (re.compile(r"(?<!\w)([a-z])#(?!\w)", re.IGNORECASE), r"\1sharp"),
    (re.compile(r"(?<!\w)([a-z])\+(?!\w)", re.IGNORECASE), r"\1plus"),
    (re.compile(r"(?<!\w)\.net(?!\w)", re.IGNORECASE), "dotnet"),
)


def normalise_units(name: str) -> str:
    """The name with symbols as words (C++ → Cplusplus) and each number joined to its unit (60 watts → 60w)."""
    if "+" in name or "#" in name or "." in name:
        for symbol, word in _SYMBOLS:
            name = symbol.sub(word, name)
    if not any(character.isdigit() for character in name):
        return name
    return _JOINED.sub(lambda match: f"{_value(match.group(1))}{_unit(match.group(2))}", name)


def read_sizes(text: str) -> frozenset[Size]:
    """The (slot, value) pairs that a text states; a range gives two values of one slot."""
    text = text.casefold()
    if not _MAY_HOLD_SIZE.search(text):
        return frozenset()
    sizes: set[Size] = set()
    for match in _METRIC.finditer(text):
        sizes.add(("length", _centimeters(match[1], match[2])))
    text = _extract(_DIMENSIONS, text, lambda match: _dimensions(match.groups()), sizes)
    text = _extract(_NOT_A_STRENGTH, text, lambda _: [], sizes)
    text = _extract(_BLOCK, text, lambda _: [("cell", "9v"), ("v", "9")], sizes)
    text = _extract(_WITH_UNIT, text, lambda match: _each(_unit(match[3]), match[1], match[2]), sizes)
    text = _extract(_ORDINAL, text, lambda match: [("th", match[1])], sizes)
    text = _extract(_LETTER, text, lambda match: _each("size", match[1], match[2]), sizes)
    text = _extract(_CELL, text, lambda match: _each("cell", match[1], match[2]), sizes)
    text = _extract(_AFTER_WORD, text, lambda match: _each(_slot(match[1]), match[2], match[3]), sizes)
    text = _extract(_GLUED, text, lambda match: [(match[2], match[1])], sizes)
    _extract(_BEFORE_NOUN, text, lambda match: _each(f"of {stem(match[2])}", match[1]), sizes)
    return frozenset(sizes)


def sizes_of_attribute(column: str, value: str) -> frozenset[Size]:
    """The sizes that an attribute states: "3" in a column "size" is size=3."""
    value_alone = not any(character.isalpha() for character in value) or bool(
        _LETTER.search(f"size {value.casefold()}")
    )
    return read_sizes(f"{column} {value}" if value_alone and column.isalpha() else value)


def is_minor(slot: str) -> bool:
    """Whether another value of the slot is a minor difference: another package size, or a number of parts."""
    return slot in LEXICON.quantity_units or slot.startswith("of ")


def _extract(pattern: re.Pattern[str], text: str, read: Callable[[re.Match[str]], list[Size]], sizes: set[Size]) -> str:
    """Add what a pattern matches to `sizes`, and return the rest: only the first matching pattern reads a number."""
    for match in pattern.finditer(text):
        sizes.update(read(match))
    return pattern.sub(" ; ", text)


def _each(slot: str, *values: str | None) -> list[Size]:
    return [(slot, _value(value)) for value in values if value and slot]


def _dimensions(groups: Sequence[str | None]) -> list[Size]:
    """The dimensions of "80x30x202 cm": all three, each pair of them and each alone, whatever their order.

    So a name with two of three dimensions agrees with the product, and one with another dimension does not.
    """
    *numbers, unit = groups
    stated = sorted((_centimeters(number, unit or "") for number in numbers if number), key=float)
    pairs = [("dimensions of 2", "x".join(pair)) for pair in combinations(stated, 2)]
    whole = [("dimensions of 3", "x".join(stated))] if len(stated) == 3 else []
    return [*(("length", value) for value in stated), *pairs, *whole]


def _centimeters(number: str, unit: str) -> str:
    return f"{float(number.replace(',', '.')) * _CENTIMETERS[_UNITS.get(unit, unit)]:.4g}"


def _slot(word: str) -> str:
    """The slot of a number that follows a word; "" after a stop word or a weak word."""
    if word in _UNITS:
        return _UNITS[word]
    stemmed = stem(word)
    return "" if word in _STOP_WORDS or (stemmed in _WEAK_WORDS and stemmed != "size") else stemmed


def _unit(spelling: str) -> str:
    return _UNITS[spelling.casefold()]


def _value(value: str) -> str:
    value = _LETTERS.get(value, value.replace(",", ""))
    return value.rstrip("0").rstrip(".") if "." in value else value
