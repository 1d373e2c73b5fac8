"""What the words of a name say: its terms, its head, and what it forbids.

Two names that a shopper would call the same differ in plural, in British and American spelling, in words that say
little (*fresh*, *12 oz*) and in order (*Beans, Baked*). A name's **head** is the word that says what the thing is:
*beans* in "Baked Beans in Tomato Sauce". A **constraint** (*nut-free*, *decaf*) is not one more adjective: a product
that does not state it is no answer to a name that asks for it. The tables of words are in wordings.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from skutune.linking.names import free_from, sizes
from skutune.linking.names.lexicon import (
    ALL_CONSTRAINTS,
    CONSTRAINTS,
    CONTAINERS,
    FREE,
    FREE_NAMES,
    IMPLIED,
    LITTLE,
    LOW,
    MANNERS,
    PHRASES,
    SPELLINGS,
    STOP,
    WEAK,
)
from skutune.linking.names.sizes import Size
from skutune.linking.names.stem import stem
from skutune.text import words

LONGEST = 24  # terms of a name that are read: what is longer is no name
_TEXT = 1000  # characters of a name that are read

_BOUNDARY = re.compile(r"[,(;|]|\s[-–—]\s|\s(?:with|in|for|from|on|by)\s|\sw/", re.IGNORECASE)
_USUAL = frozenset(SPELLINGS.values())
_WITHOUT = frozenset(words("no non zero without"))
_LIST = re.compile(r",|;")
_CONTAINER = rf"(?:{'|'.join(CONTAINERS)})(?:e?s)?"
_HELD = re.compile(rf"\b{_CONTAINER}\s+of\b|(?:[,;(|]|\s[-–—])\s*{_CONTAINER}\s*\)?\s*$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Phrase:
    """A name, read.

    `terms` are stems in order, without stop words and constraints; `surface` the words they came from; the first
    `main` of them precede a comma or a preposition; `head` is the index of the head, -1 where there is no term.
    `inverted` holds the terms in their other order where a comma says that there is one: (baked, beans) for "Beans,
    Baked". `manners` say how a constraint was put where that makes another product (MANNERS), `measures` which of a
    kind is meant (measures.py).
    """

    terms: tuple[str, ...]
    surface: tuple[str, ...]
    main: int
    head: int
    constraints: frozenset[str]
    inverted: tuple[str, ...] = ()
    manners: frozenset[str] = frozenset()
    sizes: frozenset[Size] = frozenset()

    @property
    def signature(self) -> str:
        """Equal for names that are literally the same up to case, plural, spelling and stop words."""
        return _signature(self.terms, self.constraints | self.manners)

    @property
    def inverted_signature(self) -> str:
        """The signature of the inverted terms; "" where there are none."""
        return _signature(self.inverted, self.constraints | self.manners) if self.inverted else ""

    @property
    def bag(self) -> str:
        """Equal for names of the same words in any order."""
        return _signature(tuple(sorted(self.terms)), self.constraints | self.manners)


def read_phrase(name: str) -> Phrase:
    """The name's terms, head and constraints; of a very long name its beginning."""
    name = sizes.written_out(free_from.written_out(name[:_TEXT]))
    measured = sizes.read_sizes(name)
    name = _HELD.sub(" ", name)
    boundary = _BOUNDARY.search(name, 1)
    main_text, rest_text = (name[: boundary.start()], name[boundary.start() :]) if boundary else (name, "")
    main, asked = _terms(main_text)
    rest, asked_later = _terms(rest_text) if rest_text else ([], {})
    listed = bool(boundary and boundary.group() in ",;" and rest and len(_LIST.findall(rest_text)) == 1)
    if not main:
        main, rest, listed = rest, [], False
    constraints = asked | asked_later
    if not main:  # a name of constraints alone: they are all that it says
        main = [(constraint, constraint) for constraint in sorted(constraints)]
    main, rest = main[:LONGEST], rest[: max(LONGEST - len(main), 0)]
    both = main + rest
    terms = tuple(term for term, _ in both)
    return Phrase(
        terms=terms,
        surface=tuple(word for _, word in both),
        main=len(main),
        head=_head(terms[: len(main)]),
        constraints=frozenset(constraints),
        inverted=tuple(term for term, _ in rest + main) if listed else (),
        manners=frozenset(MANNERS[first] for first in constraints.values() if first in MANNERS),
        sizes=measured,
    )


def in_usual_words(name: str) -> str:
    """The name with each word or run of words that has a usual name under that name, for whoever knows only that.

    >>> in_usual_words("grilled courgettes")
    'grilled zucchini'
    """
    tokens = words(name[:_TEXT])
    pairs = [(stem(token), token) for token in tokens if token not in STOP]
    renamed = _renamed(pairs)
    foreign = [_is_other_word(word, stem) for stem, word in renamed]
    if renamed == pairs and not any(foreign):
        return name
    return " ".join(stem if other else word for (stem, word), other in zip(renamed, foreign, strict=True))


def satisfied(constraints: frozenset[str]) -> frozenset[str]:
    """The constraints with those that they imply: what is vegan is dairy-free."""
    return constraints.union(*(IMPLIED.get(constraint, ()) for constraint in constraints))


def stated_by(attribute: str) -> frozenset[str]:
    """The constraints that an attribute's value promises for all products that have it.

    A shelf for two constraints ("vegan vegetarian") promises only what either implies.
    """
    found = read_phrase(attribute).constraints
    kept = {one for one in found if all(one in satisfied(frozenset({other})) for other in found)}
    return frozenset(kept) if len(found) > 1 else found


def _terms(text: str) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """(stem, word) pairs of a text without its stop words; the constraints taken out of it, with their first words."""
    tokens = [part for word in words(text) if word not in STOP for part in _parted(word)]
    pairs = _renamed([(stem(token), token) for token in tokens])
    stems = [pair[0] for pair in pairs]
    kept: list[tuple[str, str]] = []
    constraints: dict[str, str] = {}
    at = 0
    while at < len(pairs):
        constraint, length = _constraint(stems, at)
        if constraint:
            constraints[constraint] = stems[at]
        else:
            kept.append(pairs[at])
        at += length
    return kept, constraints


def _parted(word: str) -> tuple[str, ...]:
    """A joined constraint as two words: sugarfree → sugar free."""
    bare = word.removesuffix("free")
    return (bare, "free") if bare != word and bare in FREE else (word,)


def _renamed(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The pairs with each run of words that has a usual name under that name."""
    found: list[tuple[str, str]] = []
    at = 0
    while at < len(pairs):
        for parts, meant in PHRASES.get(pairs[at][0], ()):
            if tuple(stem for stem, _ in pairs[at : at + len(parts)]) == parts:
                found += [(word, word) for word in meant]
                at += len(parts)
                break
        else:
            found.append(pairs[at])
            at += 1
    return found


def _is_other_word(word: str, stemmed: str) -> bool:
    """Whether a stem is not just its word's singular but another word: zucchini for courgettes."""
    return stemmed in _USUAL and not stemmed.startswith(word[:3])


def _constraint(stems: list[str], at: int) -> tuple[str | None, int]:
    """The constraint that starts at a position, and how many words it takes; (None, 1) where none does."""
    first, second, third = [*stems[at : at + 3], "", ""][:3]
    if first == "tree" and second == "nut" and third == "free":
        return "tree-nut-free", 3
    if first in _WITHOUT and {second, third} == {"sugar", "added"}:
        return "unsweetened", 3  # which may hold all the sugar of its fruit
    if first in FREE and second == "free" and third != "range":
        return f"{FREE_NAMES.get(first, first)}-free", 2
    if first in _WITHOUT and second in FREE:
        return f"{FREE_NAMES.get(second, second)}-free", 3 if third == "added" else 2
    if first in _WITHOUT and second == "added" and third in FREE:
        return f"{FREE_NAMES.get(third, third)}-free", 3
    if first in LITTLE and second in LOW:
        return LOW[second], 2
    if first == "non" and second == "alcoholic":
        return "alcohol-free", 2
    if first == "plant" and second in ("based", "base"):
        return "vegan", 2
    return CONSTRAINTS.get(first), 1


def _head(terms: tuple[str, ...]) -> int:
    """The last term that says what the thing is: no number, no size, no praise."""
    for index in range(len(terms) - 1, -1, -1):
        sized = index > 0 and terms[index - 1] == "size"  # a T-shirt, size M
        if terms[index] not in WEAK and not terms[index][0].isdigit() and not sized:
            return index
    return len(terms) - 1


def _signature(terms: tuple[str, ...], constraints: frozenset[str]) -> str:
    return " ".join(terms) + "|" + " ".join(sorted(constraints))


__all__ = ["ALL_CONSTRAINTS", "LONGEST", "WEAK", "Phrase", "read_phrase", "satisfied", "stated_by", "stem"]
