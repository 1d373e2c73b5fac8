"""What the words of a name say: its terms, its head, and what it forbids.

Two names that a shopper would call the same differ in plural, in British and American spelling and in words that say
little (*fresh*, *12 oz*). A name's **head** is the word that says what the thing is: *beans* in "Baked Beans in Tomato
Sauce". A **constraint** (*nut-free*, *decaf*) is not one more adjective: a product that does not state it is no answer
to a name that asks for it. The rules are for English; words of other languages pass through unchanged.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from skutune.text import words

STOP = frozenset(words("a an and the of or n to with in for from on by my your our"))
WEAK = frozenset(
    words(
        "fresh homemade classic original traditional style premium natural organic new select quality gourmet real "
        "pure delicious best large small mini medium big jumbo family size value pack count ct oz fl lb lbs g kg ml "
        "favorite l each box bag bottle can jar piece serving package single crispy crunchy creamy tasty simple"
    )
)
"""Stems that say little about what a thing is; they weigh less, and never count as a head."""

_BOUNDARY = re.compile(r"[,(;|]|\s[-–—]\s|\s(?:with|in|for|from|on|by)\s|\sw/", re.IGNORECASE)
_SPELLINGS = {
    "yoghurt": "yogurt", "yogourt": "yogurt", "doughnut": "donut", "bbq": "barbecue", "barbeque": "barbecue",
    "chilli": "chili", "chile": "chili", "chily": "chili", "catsup": "ketchup", "omelette": "omelet",
    "whisky": "whiskey", "hummous": "hummus", "houmous": "hummus", "houmus": "hummus", "mac": "macaroni",
    "veggy": "vegetable", "aubergine": "eggplant", "courgette": "zucchini", "mayo": "mayonnaise", "grey": "gray",
    "leave": "leaf", "loave": "loaf", "knive": "knife", "halve": "half", "litre": "liter",
    "fibre": "fiber", "centre": "center", "flavour": "flavor", "colour": "color", "savoury": "savory",
    "favourite": "favorite", "mould": "mold", "children": "child", "tyre": "tire", "aluminium": "aluminum",
}  # fmt: skip

_FREE = frozenset(words("nut peanut gluten sugar dairy lactose egg soy wheat caffeine alcohol fat salt meat"))
_CONSTRAINTS = {
    "decaf": "caffeine-free", "decaffeinated": "caffeine-free", "caffeineless": "caffeine-free",
    "vegan": "vegan", "vegetarian": "vegetarian", "meatless": "vegetarian", "sugarless": "sugar-free",
    "unsweetened": "sugar-free", "unsalted": "salt-free", "nonfat": "fat-free", "nondairy": "dairy-free",
    "nonalcoholic": "alcohol-free", "kosher": "kosher", "halal": "halal",
    "diet": "sugar-free",
}  # fmt: skip
_IMPLIED = {
    "vegan": ("vegetarian", "dairy-free", "lactose-free", "egg-free"),
    "dairy-free": ("lactose-free",),
    "nut-free": ("peanut-free",),
    "gluten-free": ("wheat-free",),
}


CONSTRAINTS = tuple(sorted({*_CONSTRAINTS.values(), *(f"{name}-free" for name in _FREE)}))
"""Every constraint that `read` can find."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """A name, read.

    `terms` are stems in order, without stop words and constraints; `surface` the words they came from; the first
    `main` of them precede a comma or a preposition; `head` is the index of the head, -1 where there is no term.
    """

    terms: tuple[str, ...]
    surface: tuple[str, ...]
    main: int
    head: int
    constraints: frozenset[str]

    @property
    def signature(self) -> str:
        """Equal for names that are literally the same up to case, plural, spelling and stop words."""
        return " ".join(self.terms) + "|" + " ".join(sorted(self.constraints))


def read(name: str) -> Phrase:
    """The name's terms, head and constraints."""
    boundary = _BOUNDARY.search(name, 1)
    main_text, rest_text = (name[: boundary.start()], name[boundary.start() :]) if boundary else (name, "")
    main, asked = _terms(main_text)
    rest, asked_later = _terms(rest_text)
    if not main:
        main, rest = rest, []
    constraints = asked | asked_later
    if not main:  # a name of constraints alone: they are all that it says
        main = [(constraint, constraint) for constraint in sorted(constraints)]
    both = main + rest
    terms = tuple(term for term, _ in both)
    return Phrase(terms, tuple(word for _, word in both), len(main), _head(terms[: len(main)]), frozenset(constraints))


def stem(word: str) -> str:
    """The word without plural and in one spelling. Source: own rules for English nouns; no dictionary."""
    word = word.removesuffix("'s").removesuffix("’s").replace("'", "").replace("’", "")
    singular = _singular(word)
    return _SPELLINGS.get(word) or _SPELLINGS.get(singular, singular)


def satisfied(constraints: frozenset[str]) -> frozenset[str]:
    """The constraints with those that they imply: what is vegan is dairy-free."""
    return constraints.union(*(_IMPLIED.get(constraint, ()) for constraint in constraints))


def _singular(word: str) -> str:
    if len(word) <= 3 or not word.isascii():
        return word
    if word.endswith("ies") or (word.endswith("ie") and len(word) > 4):
        return word.removesuffix("s") if len(word) == 4 else re.sub("ies?$", "y", word)
    if word.endswith("oes") and len(word) > 5:
        return word[:-2]
    if word.endswith(("sses", "shes", "ches", "xes", "zzes")):
        return word[:-2]
    if word.endswith("che"):  # so that quiche and quiches, brioche and brioches agree
        return word[:-1]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def _terms(text: str) -> tuple[list[tuple[str, str]], set[str]]:
    """(stem, word) pairs of a text without its stop words, and the constraints that were taken out of it."""
    tokens = words(text)
    stems = [stem(token) for token in tokens]
    kept: list[tuple[str, str]] = []
    constraints: set[str] = set()
    at = 0
    while at < len(tokens):
        constraint, length = _constraint(stems, at)
        if constraint:
            constraints.add(constraint)
        elif stems[at] not in STOP:
            kept.append((stems[at], tokens[at]))
        at += length
    return kept, constraints


def _constraint(stems: list[str], at: int) -> tuple[str | None, int]:
    """The constraint that starts at a position, and how many words it takes; (None, 1) where none does."""
    first, second, third = [*stems[at : at + 3], "", ""][:3]
    if first in _FREE and second == "free":
        return f"{first}-free", 2
    if first in ("no", "non", "zero", "without") and second in _FREE:
        return f"{second}-free", 3 if third == "added" else 2
    if first == "non" and second == "alcoholic":
        return "alcohol-free", 2
    if first == "plant" and second in ("based", "base"):
        return "vegan", 2
    return _CONSTRAINTS.get(first), 1


def _head(terms: tuple[str, ...]) -> int:
    """The last term that says what the thing is: no number, no size, no praise."""
    for index in range(len(terms) - 1, -1, -1):
        if terms[index] not in WEAK and not terms[index][0].isdigit():
            return index
    return len(terms) - 1
