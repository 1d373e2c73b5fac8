"""What tells one of a kind from the next: sizes, strengths, model numbers and marks.

"Size 3 diapers" are no size 4, "AA" is no "AAA", "C#" no "C". A **measure** is a slot and a value: size=3, w=60, %=2,
iphone=14. Its slot is a unit, or the word that the number follows. A product contradicts a name where it holds another
value of a slot, and does not where it says nothing of it: most names in a catalog do not tell all of their measures.

How much is in a package is a measure as well, but a shopper who is told of 12 ounces takes 10: those of QUANTITIES, and
numbers before a noun ("7 grain"), count less than the others.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from skutune.linking.names.lexicon import STOP, WEAK
from skutune.linking.names.stem import stem

Size = tuple[str, str]

_QUANTITIES = {
    "oz": "oz ounce ounces fl|oz fl.|oz fluid|ounce fluid|ounces", "lb": "lb lbs pound pounds",
    "g": "g gm gram grams", "kg": "kg kilogram kilograms", "ml": "ml milliliter milliliters millilitre millilitres",
    "l": "l liter liters litre litres", "gal": "gal gallon gallons", "qt": "qt quart quarts", "pt": "pt pint pints",
    "ct": "ct count", "pack": "pk pack packs", "pc": "pc pcs piece pieces", "sqft": "sq|ft sq.|ft square|feet",
    "sheet": "sheet sheets", "roll": "roll rolls", "load": "load loads", "ply": "ply", "can": "can cans",
    "bottle": "bottle bottles", "box": "box boxes", "bag": "bag bags", "jar": "jar jars", "x": "x",
}  # fmt: skip
_STRENGTHS = {
    "w": "w watt watts wattage", "v": "v volt volts voltage", "%": "% percent", "mg": "mg milligram milligrams",
    "mcg": "mcg microgram micrograms", "iu": "iu", "inch": '" ” inch inches', "ft": "ft foot feet", "cm": "cm",
    "mm": "mm", "mah": "mah", "amp": "amp amps", "gb": "gb", "tb": "tb", "hz": "hz", "proof": "proof",
    "lumen": "lumen lumens", "month": "month months mo", "hour": "hour hours hr hrs",
}  # fmt: skip
QUANTITIES = frozenset(_QUANTITIES)
_UNITS = {
    spelled.replace("|", " "): unit
    for table in (_QUANTITIES, _STRENGTHS)
    for unit, all_spelled in table.items()
    for spelled in all_spelled.split()
}
_LETTERS = {"2xl": "xxl", "3xl": "xxxl", "small": "s", "medium": "m", "large": "l"}

_NUMBER = r"(\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+|/\d+)?)"
_RANGE = rf"{_NUMBER}(?:\s?[-–]\s?{_NUMBER})?"
_UNIT = "|".join(re.escape(spelled) for spelled in sorted(_UNITS, key=len, reverse=True))
_WITH_UNIT = re.compile(rf"(?<![\w.,/$]){_RANGE}\+?[\s-]*({_UNIT})(?![\w/])\.?")
_JOINED = re.compile(rf"(?<![\w.,/$-]){_NUMBER}[\s-]*({_UNIT})(?![\w/])", re.IGNORECASE)
_NO_STRENGTH = re.compile(r"100%|\d%\s+(?:less|more|off|fewer|lower|reduced|extra|recycled|dv|daily)\b")
_ORDINAL = re.compile(r"(?<!\w)(\d+)(st|nd|rd|th)(?!\w)")
_LETTER = re.compile(r"(?<!\w)(?:size[\s:-]+(small|medium|large|x*[sml])|(x{1,3}[sl]|[23]xl))(?!\w)")
_CELL = re.compile(r"(?<![\w'])(a{2,4})(?!\w)|(?<![\w'])([cd])(?=[\s-](?:cell|batter))")
_BLOCK = re.compile(r"(?<!\w)9[\s-]?v(?:olts?)?(?=[\s-](?:cell|batter))")
_AFTER = re.compile(rf"(?<![\w'])([^\W\d_]+)[\s.:#-]{{0,2}}{_RANGE}(?![\w%])")
_GLUED = re.compile(r"(?<![\w.,/$])(\d+)([a-z]{1,4})(?!\w)")
_BEFORE = re.compile(r"(?<![\w.,/$])(\d+)[\s-]+([a-z]{3,})")
_ANY = re.compile(r"\d|(?<![a-z])(?:aa|x+[sl]\b|size|[cd][\s-](?:cell|batter))")

_MARKS = (
    (re.compile(r"(?<=\w)\+\+"), "plusplus"),
    (re.compile(r"(?<!\w)([a-z])#(?!\w)", re.IGNORECASE), r"\1sharp"),
    (re.compile(r"(?<!\w)([a-z])\+(?!\w)", re.IGNORECASE), r"\1plus"),
    (re.compile(r"(?<!\w)\.net(?!\w)", re.IGNORECASE), "dotnet"),
)


def written_out(name: str) -> str:
    """The name with marks as words (C++ → Cplusplus) and each number as one word with its unit (60 watts → 60w)."""
    if "+" in name or "#" in name or "." in name:
        for mark, spelled in _MARKS:
            name = mark.sub(spelled, name)
    if not any(character.isdigit() for character in name):
        return name
    return _JOINED.sub(lambda found: f"{_value(found.group(1))}{_unit(found.group(2))}", name)


def read_sizes(text: str) -> frozenset[Size]:
    """The measures that a text tells, (slot, value) each; several values of one slot where it tells a range."""
    text = text.casefold()
    if not _ANY.search(text):
        return frozenset()
    found: set[Size] = set()
    text = _taken(_NO_STRENGTH, text, lambda _: [], found)
    text = _taken(_BLOCK, text, lambda _: [("cell", "9v"), ("v", "9")], found)
    text = _taken(_WITH_UNIT, text, lambda part: _each(_unit(part[3]), part[1], part[2]), found)
    text = _taken(_ORDINAL, text, lambda part: [("th", part[1])], found)
    text = _taken(_LETTER, text, lambda part: _each("size", part[1], part[2]), found)
    text = _taken(_CELL, text, lambda part: _each("cell", part[1], part[2]), found)
    text = _taken(_AFTER, text, lambda part: _each(_slot(part[1]), part[2], part[3]), found)
    text = _taken(_GLUED, text, lambda part: [(part[2], part[1])], found)
    _taken(_BEFORE, text, lambda part: _each(f"of {stem(part[2])}", part[1]), found)
    return frozenset(found)


def sizes_of_attribute(column: str, value: str) -> frozenset[Size]:
    """The measures of an attribute: "3" in a column "size" is size=3."""
    bare = not any(character.isalpha() for character in value) or bool(_LETTER.search(f"size {value.casefold()}"))
    return read_sizes(f"{column} {value}" if bare and column.isalpha() else value)


def tells_little(slot: str) -> bool:
    """Whether another value of a slot is a lesser difference: another package, or a number of parts."""
    return slot in QUANTITIES or slot.startswith("of ")


def _taken(
    pattern: re.Pattern[str], text: str, measures: Callable[[re.Match[str]], list[Size]], found: set[Size]
) -> str:
    """The text without what a pattern matches: each number is read once, by the first pattern that it fits."""
    for match in pattern.finditer(text):
        found.update(measures(match))
    return pattern.sub(" ; ", text)


def _each(slot: str, *values: str | None) -> list[Size]:
    return [(slot, _value(value)) for value in values if value and slot]


def _slot(word: str) -> str:
    """The slot of a number that follows a word; "" after one that says little of it."""
    if word in _UNITS:
        return _UNITS[word]
    stemmed = stem(word)
    return "" if word in STOP or (stemmed in WEAK and stemmed != "size") else stemmed


def _unit(spelled: str) -> str:
    return _UNITS[spelled.casefold()]


def _value(value: str) -> str:
    value = _LETTERS.get(value, value.replace(",", ""))
    return value.rstrip("0").rstrip(".") if "." in value else value
