"""Parses a product name into terms, head and constraints.

Two names for the same product may differ in number, in British or American spelling, in weak words (*fresh*, *12 oz*)
and in order (*Beans, Baked*). The **head** of a name is the word that says what the product is: *beans* in "Baked Beans
in Tomato Sauce". A **constraint** (*nut-free*, *decaf*) is not just another adjective: a product that does not state it
is no answer to a name that asks for it. The word lists are in the lexicon.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from skutune.linking.names import free_from, sizes
from skutune.linking.names.lexicon import LEXICON
from skutune.linking.names.sizes import Size
from skutune.linking.names.stem import stem
from skutune.text import words

MAX_TERMS = 24
"""Terms of a name that are read; a longer text is not a name."""
WEAK_WORDS = frozenset(LEXICON.weak_words)
_MAX_CHARACTERS = 1000
_STOP_WORDS = frozenset(LEXICON.stop_words)
_WITHOUT, _LOW = frozenset(LEXICON.without_words), frozenset(LEXICON.low_words)
_FREE_CONSTRAINTS, _LOW_CONSTRAINTS = LEXICON.free_constraint_of, LEXICON.low_constraint_of
_CONSTRAINT_WORDS, _DEGREES, _SYNONYMS = LEXICON.constraint_of, LEXICON.degree_of, LEXICON.synonym_rules

_BOUNDARY = re.compile(r"[,(;|]|\s[-–—]\s|\s(?:with|in|for|from|on|by)\s|\sw/", re.IGNORECASE)
_USUAL_SPELLINGS = frozenset(LEXICON.spellings)
_LIST = re.compile(r",|;")
_CONTAINER = rf"(?:{'|'.join(LEXICON.containers)})(?:e?s)?"
_PACKAGED = re.compile(rf"\b{_CONTAINER}\s+of\b|(?:[,;(|]|\s[-–—])\s*{_CONTAINER}\s*\)?\s*$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Phrase:
    """A parsed name.

    `terms` are stems in order, without stop words and constraints; `surface` the words that they come from; the first
    `main` of them precede a comma or a preposition; `head` is the index of the head, -1 if there are no terms.
    `inverted` holds the terms in natural order if a comma inverts them: (baked, beans) for "Beans, Baked". `degrees`
    are the degrees to which constraints are stated (the lexicon's `degrees`), `sizes` the sizes that are stated.
    """

    terms: tuple[str, ...]
    surface: tuple[str, ...]
    main: int
    head: int
    constraints: frozenset[str]
    inverted: tuple[str, ...] = ()
    degrees: frozenset[str] = frozenset()
    sizes: frozenset[Size] = frozenset()

    @property
    def signature(self) -> str:
        """Equal for names that are the same up to case, plural, spelling and stop words."""
        return _signature(self.terms, self.constraints | self.degrees)

    @property
    def inverted_signature(self) -> str:
        """The signature of the inverted terms; "" if there are none."""
        return _signature(self.inverted, self.constraints | self.degrees) if self.inverted else ""

    @property
    def bag(self) -> str:
        """Equal for names of the same words in any order."""
        return _signature(tuple(sorted(self.terms)), self.constraints | self.degrees)


def read_phrase(name: str, *, replace_synonyms: bool = True) -> Phrase:
    """Parse a name, or the first MAX_TERMS terms of a longer text; with synonyms as the lexicon's usual words."""
    name = sizes.normalise_units(free_from.expand_constraints(name[:_MAX_CHARACTERS]))
    stated_sizes = sizes.read_sizes(name)
    name = _PACKAGED.sub(" ", name)
    boundary = _BOUNDARY.search(name, 1)
    main_text, rest_text = (name[: boundary.start()], name[boundary.start() :]) if boundary else (name, "")
    main, constraints = _terms(main_text, replace_synonyms)
    rest, later_constraints = _terms(rest_text, replace_synonyms) if rest_text else ([], {})
    is_inverted = bool(boundary and boundary.group() in ",;" and rest and len(_LIST.findall(rest_text)) == 1)
    if not main:
        main, rest, is_inverted = rest, [], False
    constraints |= later_constraints
    if not main:  # a name of constraints alone: they are its terms
        main = [(constraint, constraint) for constraint in sorted(constraints)]
    main, rest = main[:MAX_TERMS], rest[: max(MAX_TERMS - len(main), 0)]
    both = main + rest
    terms = tuple(term for term, _ in both)
    return Phrase(
        terms=terms,
        surface=tuple(word for _, word in both),
        main=len(main),
        head=_head(terms[: len(main)]),
        constraints=frozenset(constraints),
        inverted=tuple(term for term, _ in rest + main) if is_inverted else (),
        degrees=frozenset(_DEGREES[first] for first in constraints.values() if first in _DEGREES),
        sizes=stated_sizes,
    )


def in_usual_words(name: str) -> str:
    """The name with synonyms and variant spellings replaced, for an encoder that knows only the usual words.

    >>> in_usual_words("grilled courgettes")
    'grilled zucchini'
    """
    tokens = words(name[:_MAX_CHARACTERS])
    pairs = [(stem(token), token) for token in tokens if token not in _STOP_WORDS]
    replaced = _replace_synonyms(pairs)
    respelled = [_is_respelled(word, stem) for stem, word in replaced]
    if replaced == pairs and not any(respelled):
        return name
    return " ".join(stem if other else word for (stem, word), other in zip(replaced, respelled, strict=True))


def satisfied(constraints: frozenset[str]) -> frozenset[str]:
    """The constraints and all that they imply: a vegan product is dairy-free."""
    return constraints.union(*(LEXICON.implied.get(constraint, ()) for constraint in constraints))


def stated_by(attribute: str) -> frozenset[str]:
    """The constraints that an attribute's value states for every product that has it.

    A value with several constraints ("vegan vegetarian") states only those that each of them implies.
    """
    constraints = read_phrase(attribute).constraints
    shared = {one for one in constraints if all(one in satisfied(frozenset({other})) for other in constraints)}
    return frozenset(shared) if len(constraints) > 1 else constraints


def _terms(text: str, replace_synonyms: bool) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """(stem, word) pairs of a text without stop words and constraints, and the constraints with their first words."""
    tokens = [part for word in words(text) if word not in _STOP_WORDS for part in _split_free(word)]
    pairs = [(stem(token), token) for token in tokens]
    pairs = _replace_synonyms(pairs) if replace_synonyms else pairs
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


def _split_free(word: str) -> tuple[str, ...]:
    """A compound as two words: sugarfree → sugar free."""
    substance = word.removesuffix("free")
    return (substance, "free") if substance != word and substance in _FREE_CONSTRAINTS else (word,)


def _replace_synonyms(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The pairs with each phrase of the lexicon's synonyms replaced by its usual words."""
    replaced: list[tuple[str, str]] = []
    at = 0
    while at < len(pairs):
        for parts, usual in _SYNONYMS.get(pairs[at][0], ()):
            if tuple(stem for stem, _ in pairs[at : at + len(parts)]) == parts:
                replaced += [(word, word) for word in usual]
                at += len(parts)
                break
        else:
            replaced.append(pairs[at])
            at += 1
    return replaced


def _is_respelled(word: str, stemmed: str) -> bool:
    """Whether a stem is another word than the singular of its word: zucchini for courgettes."""
    return stemmed in _USUAL_SPELLINGS and not stemmed.startswith(word[:3])


def _constraint(stems: list[str], at: int) -> tuple[str | None, int]:
    """The constraint that starts at a position, and its number of words; (None, 1) if there is none."""
    first, second, third = [*stems[at : at + 3], "", ""][:3]
    if first == "tree" and second == "nut" and third == "free":
        return "tree-nut-free", 3
    if first in _WITHOUT and {second, third} == {"sugar", "added"}:
        return "unsweetened", 3  # may still contain the sugar of its fruit
    if first in _FREE_CONSTRAINTS and second == "free" and third != "range":
        return _FREE_CONSTRAINTS[first], 2
    if first in _WITHOUT and second in _FREE_CONSTRAINTS:
        return _FREE_CONSTRAINTS[second], 3 if third == "added" else 2
    if first in _WITHOUT and second == "added" and third in _FREE_CONSTRAINTS:
        return _FREE_CONSTRAINTS[third], 3
    if first in _LOW and second in _LOW_CONSTRAINTS:
        return _LOW_CONSTRAINTS[second], 2
    if first == "non" and second == "alcoholic":
        return "alcohol-free", 2
    if first == "plant" and second in ("based", "base"):
        return "vegan", 2
    return _CONSTRAINT_WORDS.get(first), 1


def _head(terms: tuple[str, ...]) -> int:
    """The index of the last term that is neither a weak word nor a number nor a size."""
    for index in range(len(terms) - 1, -1, -1):
        sized = index > 0 and terms[index - 1] == "size"  # a T-shirt, size M
        if terms[index] not in WEAK_WORDS and not terms[index][0].isdigit() and not sized:
            return index
    return len(terms) - 1


def _signature(terms: tuple[str, ...], constraints: frozenset[str]) -> str:
    return " ".join(terms) + "|" + " ".join(sorted(constraints))
