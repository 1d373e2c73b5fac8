"""The references of an answer, parsed strictly or, if the format is broken, leniently.

Ids of a catalog are often dense, so that an invented one exists: "the id is in the catalog" says little. **The name
agrees with the id** is the measure: the name that the answer gives is, up to case and outer punctuation, the name of
the product with that id.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from skutune.answer_format import NO_PRODUCT, FormatError, Reference, parse
from skutune.text import normalise_name

# What a reader would take for a reference where the format is broken: the case, the punctuation before `id` and the
# closing bracket may be off, and text may follow it.
_LOOSE = re.compile(
    r"closest\s+product\s*:\s*(?P<name>[^\n]*?)\s*[:,]?\s*\bid\s*:?\s*#?(?P<id>[^\s()]+)\s*(?:\)|$)", re.I | re.M
)
_LOOSE_NONE = re.compile(re.escape(NO_PRODUCT.strip("()")), re.I)


@dataclass(frozen=True, slots=True)
class ParsedAnswer:
    """One answer. `ids` are those it references, in order, repeats too; `no_product` counts `(no close product)`."""

    parses: bool
    ids: tuple[str, ...]
    no_product: int
    ids_in_catalog: int
    names_agree: int


def references_of(text: str) -> tuple[bool, tuple[Reference | None, ...]]:
    """Whether the text follows the answer format, and its references in order; otherwise they are parsed leniently.

    None stands for a recommendation that says it has no close product.
    """
    try:
        return True, tuple(item.product for item in parse(text).items)
    except FormatError:
        return False, _loose_references(text)


def parse_loosely(answer: str, catalog: Mapping[str, str]) -> ParsedAnswer:
    """Read an answer. `catalog` maps ids to names."""
    parses, references = references_of(answer)
    named = [reference for reference in references if reference is not None]
    return ParsedAnswer(
        parses=parses,
        ids=tuple(reference.id for reference in named),
        no_product=len(references) - len(named),
        ids_in_catalog=sum(reference.id in catalog for reference in named),
        names_agree=sum(agrees(reference, catalog) for reference in named),
    )


def agrees(reference: Reference, catalog: Mapping[str, str]) -> bool:
    """Whether the name of a reference belongs to its id."""
    name = catalog.get(reference.id)
    return name is not None and normalise_name(name) == normalise_name(reference.name)


def _loose_references(text: str) -> tuple[Reference | None, ...]:
    found: list[tuple[int, Reference | None]] = [
        (match.start(), Reference(match["id"].rstrip(".,;"), match["name"].strip())) for match in _LOOSE.finditer(text)
    ]
    found += [(match.start(), None) for match in _LOOSE_NONE.finditer(text)]
    return tuple(reference for _, reference in sorted(found, key=lambda item: item[0]))
