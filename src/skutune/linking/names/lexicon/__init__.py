"""The words that names of products are read with, one data file per language.

en.toml says what each table is for. Another language is another file of the same keys. The format is TOML because YAML
reads the stop word "on" and the word "no" as booleans, and because TOML refuses a key that is defined twice.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from skutune.errors import InputError, Problem


def _check_words(words: Sequence[str]) -> Sequence[str]:
    for word in words:
        if not word.strip() or word != word.strip().casefold():
            raise ValueError(f"{word!r} must be in lower case, without spaces around it")
    repeated = sorted({word for word in words if words.count(word) > 1})
    if repeated:
        raise ValueError(f"{repeated[0]!r} is listed twice")
    return words


Words = Annotated[tuple[str, ...], AfterValidator(_check_words), Field(min_length=1)]
Rule = tuple[tuple[str, ...], tuple[str, ...]]
"""The words of a phrase, and the words that replace them."""


def _inverted(table: Mapping[str, Sequence[str]]) -> dict[str, str]:
    return {variant: word for word, variants in table.items() for variant in variants}


class Lexicon(BaseModel):
    """The tables of one language, as their file has them; properties invert them for lookup by variant."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stop_words: Words
    question_stop_words: Words
    weak_words: Words
    containers: Words
    substances: Words
    without_words: Words
    low_words: Words
    yes_words: Words
    no_words: Words
    spellings: dict[str, Words]
    synonyms: dict[str, Words]
    constraint_words: dict[str, Words]
    low_constraints: dict[str, Words]
    substance_names: dict[str, Words]
    degrees: dict[str, Words]
    implied: dict[str, Words]
    quantity_units: dict[str, Words]
    strength_units: dict[str, Words]

    @model_validator(mode="after")
    def _check_tables(self) -> Lexicon:
        for name in ("spellings", "synonyms", "constraint_words", "low_constraints", "substance_names", "degrees"):
            _check_unambiguous(name, getattr(self, name))
        _check_unambiguous("quantity_units and strength_units", {**self.quantity_units, **self.strength_units})
        unknown = {*self.implied, *(each for more in self.implied.values() for each in more)} - {*self.constraints}
        if unknown:
            raise ValueError(f"implied: {min(unknown)!r} is not a constraint")
        return self

    @cached_property
    def spelling_of(self) -> dict[str, str]:
        """The usual spelling by variant."""
        return _inverted(self.spellings)

    @cached_property
    def synonym_rules(self) -> dict[str, list[Rule]]:
        """Phrases and their usual words by the phrase's first word, the longest phrase first."""
        rules: dict[str, list[Rule]] = {}
        for phrase, usual in sorted(_inverted(self.synonyms).items(), key=lambda pair: -len(pair[0].split())):
            parts = tuple(phrase.split())
            rules.setdefault(parts[0], []).append((parts, tuple(usual.split())))
        return rules

    @cached_property
    def constraint_of(self) -> dict[str, str]:
        """The constraint by the single word that states it."""
        return _inverted(self.constraint_words)

    @cached_property
    def low_constraint_of(self) -> dict[str, str]:
        """The constraint by the substance that a product is low in."""
        return _inverted(self.low_constraints)

    @cached_property
    def degree_of(self) -> dict[str, str]:
        """The degree by the word that states it."""
        return _inverted(self.degrees)

    @cached_property
    def unit_of(self) -> dict[str, str]:
        """The unit by its spelling."""
        return _inverted({**self.quantity_units, **self.strength_units})

    @cached_property
    def free_constraint_of(self) -> dict[str, str]:
        """The constraint by the substance that a product is free of: salt-free by "sodium"."""
        names = _inverted(self.substance_names)
        return {substance: f"{names.get(substance, substance)}-free" for substance in self.substances}

    @cached_property
    def constraints(self) -> tuple[str, ...]:
        """Every constraint that a name can state, in alphabetical order."""
        return tuple(sorted({*self.constraint_words, *self.low_constraints, *self.free_constraint_of.values()}))


@cache
def load_lexicon(path: Path) -> Lexicon:
    """Read a lexicon file once.

    Raises:
        InputError: the file is missing or is not TOML, or a key is missing, unknown or wrong; names the file and keys.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"lexicon {path}: cannot be read: {error}") from error
    try:
        return Lexicon.model_validate(document)
    except ValidationError as error:
        raise InputError(f"lexicon {path}: invalid", [_problem(item) for item in error.errors()]) from error


def _check_unambiguous(name: str, table: Mapping[str, Sequence[str]]) -> None:
    first: dict[str, str] = {}
    for word, variants in table.items():
        for variant in variants:
            if first.setdefault(variant, word) != word:
                raise ValueError(f"{name}: {variant!r} is listed under both {first[variant]!r} and {word!r}")


def _problem(item: Any) -> Problem:
    where = ".".join(str(part) for part in item["loc"])
    return Problem(where, item["msg"].removeprefix("Value error, "))


LEXICON = load_lexicon(Path(__file__).with_name("en.toml"))
"""The lexicon that names are read with."""
