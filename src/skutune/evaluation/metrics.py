"""What an answer names, judged against the catalog, and what many answers of a model come to.

Ids of a catalog are often dense, so that an invented one exists: "the id is in the catalog" says little. **The name
agrees with the id** is the measure: the name that the answer gives is, up to case and outer punctuation, the name of
the product with that id.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from skutune.answers import NO_PRODUCT, FormatError, Reference, parse
from skutune.evaluation.rates import Rate, rate
from skutune.records import Evaluated
from skutune.text import normalise_name

# What a reader would take for a reference where the format is broken: the case, the punctuation before `id` and the
# closing bracket may be off, and text may follow it.
_LOOSE = re.compile(
    r"closest\s+product\s*:\s*(?P<name>[^\n]*?)\s*[:,]?\s*\bid\s*:?\s*#?(?P<id>[^\s()]+)\s*(?:\)|$)", re.I | re.M
)
_LOOSE_NONE = re.compile(re.escape(NO_PRODUCT.strip("()")), re.I)


@dataclass(frozen=True, slots=True)
class Judged:
    """One answer. `ids` are those it references, in order, repeats too; `no_product` counts `(no close product)`."""

    parses: bool
    references: int
    no_product: int
    ids: tuple[str, ...]
    ids_in_catalog: int
    names_agree: int
    names_source: bool


@dataclass(frozen=True, slots=True)
class Summary:
    """The answers of one model to one split, ready for JSON.

    `coverage` is over source products: how many of those asked about are named by at least one answer to any question.
    `top_id` is the id referenced most often and `top_share` its share of all references: a model that always says the
    same has few distinct ids and a high share.
    """

    model: str
    split: str
    answers: int
    parses: Rate
    ids_in_catalog: Rate
    names_agree: Rate
    names_source: Rate
    no_product: Rate
    coverage: Rate
    references: int
    distinct_ids: int
    top_id: str | None
    top_share: float | None
    mean_seconds: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Base and tuned side by side on one split; None where a model was not asked."""

    split: str
    base: Summary | None
    tuned: Summary | None


def references_of(text: str) -> tuple[bool, tuple[Reference | None, ...]]:
    """(whether the text is in the answer format, its references in order); where it is not, found by a lenient search.

    None stands for a recommendation that says it has no close product.
    """
    try:
        return True, tuple(item.product for item in parse(text).items)
    except FormatError:
        return False, _loose_references(text)


def judge(answer: str, source_id: str, catalog: Mapping[str, str]) -> Judged:
    """Judge an answer. `catalog` maps ids to names; `source_id` is the product that the question was made from."""
    parses, references = references_of(answer)
    named = [reference for reference in references if reference is not None]
    return Judged(
        parses=parses,
        references=len(named),
        no_product=len(references) - len(named),
        ids=tuple(reference.id for reference in named),
        ids_in_catalog=sum(reference.id in catalog for reference in named),
        names_agree=sum(_agrees(reference, catalog) for reference in named),
        names_source=any(reference.id == source_id and _agrees(reference, catalog) for reference in named),
    )


def summarise(model: str, split: str, rows: Iterable[Evaluated], sources: Mapping[str, str]) -> Summary:
    """Sum up the rows of this model and split; `sources` maps question ids to the ids of their source products."""
    chosen = [row for row in rows if row.model == model and row.split == split]
    found = [references_of(row.answer)[1] for row in chosen]
    ids = Counter(reference.id for references in found for reference in references if reference)
    missing = sum(reference is None for references in found for reference in references)
    wanted = {sources[row.question_id] for row in chosen}
    named = sum(row.references for row in chosen)
    top_id, top_count = min(ids.items(), key=lambda item: (-item[1], item[0]), default=(None, 0))
    return Summary(
        model=model,
        split=split,
        answers=len(chosen),
        parses=rate(sum(row.parses for row in chosen), len(chosen)),
        ids_in_catalog=rate(sum(row.ids_in_catalog for row in chosen), named),
        names_agree=rate(sum(row.names_agree for row in chosen), named),
        names_source=rate(sum(row.names_source for row in chosen), len(chosen)),
        no_product=rate(missing, named + missing),
        coverage=rate(len(wanted & set(ids)), len(wanted)),
        references=named,
        distinct_ids=len(ids),
        top_id=top_id,
        top_share=top_count / named if named else None,
        mean_seconds=sum(row.seconds for row in chosen) / len(chosen) if chosen else 0.0,
    )


def compare(rows: Iterable[Evaluated], sources: Mapping[str, str]) -> list[Comparison]:
    """Base beside tuned for each split, in the splits' alphabetical order."""
    held = list(rows)
    asked = {(row.model, row.split) for row in held}

    def summary(model: str, split: str) -> Summary | None:
        return summarise(model, split, held, sources) if (model, split) in asked else None

    return [
        Comparison(split, summary("base", split), summary("tuned", split)) for split in sorted({s for _, s in asked})
    ]


def _agrees(reference: Reference, catalog: Mapping[str, str]) -> bool:
    name = catalog.get(reference.id)
    return name is not None and normalise_name(name) == normalise_name(reference.name)


def _loose_references(text: str) -> tuple[Reference | None, ...]:
    found: list[tuple[int, Reference | None]] = [
        (match.start(), Reference(match["id"].rstrip(".,;"), match["name"].strip())) for match in _LOOSE.finditer(text)
    ]
    found += [(match.start(), None) for match in _LOOSE_NONE.finditer(text)]
    return tuple(reference for _, reference in sorted(found, key=lambda item: item[0]))
