"""Metrics of the answers of one system to the questions of one split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from skutune.evaluation.intervals import Difference, difference, rate_of
from skutune.evaluation.rates import Rate
from skutune.records import EvaluatedAnswer

Counting = Callable[[EvaluatedAnswer], tuple[int, int]]
"""(hits, trials) of one answer."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A rate over answers or over their references; `counts` returns (hits, trials) of one answer.

    `better` says what is wanted: more, less, or "" where neither is better by itself.
    """

    name: str
    title: str
    better: str
    counts: Counting


METRICS = (
    Metric("format", "answers that parse", "more", lambda row: (row.parses, 1)),
    Metric(
        "id_in_catalog", "references whose id is in the catalog", "more", lambda row: (row.ids_in_catalog, len(row.ids))
    ),
    Metric(
        "name_agrees", "references whose name and id agree", "more", lambda row: (row.names_agree, len(row.ids))
    ),
    Metric(
        "names_source", "answers that name the source product of the question", "more",
        lambda row: (row.names_source, 1),
    ),
    Metric(
        "relevant", "recommended products that the judge finds relevant", "more",
        lambda row: (len(row.relevant), len(row.relevant) + len(row.irrelevant)),
    ),
    # The share of relevant products is best for who names few; who names none has no part in it.
    Metric(
        "helps", "answers with at least one product that the judge finds relevant", "more",
        lambda row: (bool(row.relevant), 1) if row.judged else (0, 0),
    ),
    Metric(
        "breaks_constraint", "answers with a product that violate a constraint of the question", "less",
        lambda row: (bool(row.broken), 1) if row.constraints and row.ids_in_catalog else (0, 0),
    ),
    Metric(
        "repeats_question", "answers with a product that recommend what the shopper already has", "less",
        lambda row: (row.repeats, 1) if row.pairs_with and row.ids_in_catalog else (0, 0),
    ),
    Metric("refuses", "answers without a product", "less", lambda row: (not row.ids, 1)),
    Metric(
        "no_close_product", "recommendations with no close product", "",
        lambda row: (row.no_product, row.no_product + len(row.ids)),
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Diversity:
    """Diversity of the recommended products; unknown ids are ignored.

    `covered` of the `catalog`'s products are recommended. `top_id` is recommended oftenest, `top` is its share. `gini`
    is of how often each product of the catalog is recommended; where there are fewer recommendations than products it
    is near 1 whatever is recommended. `crowding` is the same over as many products as there are recommendations, or all
    where they are fewer: 0 where each recommendation is another product, near 1 where all are one. These describe the
    answers that were given; `top` alone has an interval.
    """

    covered: int
    catalog: int
    top_id: str | None
    top: Rate
    gini: float | None
    crowding: float | None


@dataclass(frozen=True, slots=True)
class SystemResult:
    """One system on one split, ready for JSON. `rates` are by the names of METRICS; `tokens` are those written."""

    split: str
    system: str
    answers: int
    rates: dict[str, Rate]
    variety: Diversity
    tokens: int
    seconds: float
    tokens_per_second: float | None


@dataclass(frozen=True, slots=True)
class Gain:
    """The gain of tuning in one setting on one split, by the names of METRICS."""

    split: str
    base: str
    tuned: str
    differences: dict[str, Difference]


def results(rows: Sequence[EvaluatedAnswer], systems: Sequence[str], catalog: Mapping[str, str]) -> list[SystemResult]:
    """Each system on each split, splits in alphabetical order."""
    system_results = []
    for split, by_system in _grouped(rows).items():
        system_results += [
            _result(split, system, by_system[system], catalog) for system in systems if system in by_system
        ]
    return system_results


def gains(rows: Sequence[EvaluatedAnswer]) -> list[Gain]:
    """Tuned minus base, for each decoding setting with answers of both."""
    gained = []
    for split, by_system in _grouped(rows).items():
        for base, before in by_system.items():
            tuned = base.replace("base", "tuned")
            if base.startswith("base") and tuned in by_system:
                gained.append(Gain(split, base, tuned, _differences(before, by_system[tuned])))
    return gained


def gini(counts: Sequence[int]) -> float | None:
    """The Gini coefficient in [0, 1); None if there are no numbers or all are zero."""
    total, size = sum(counts), len(counts)
    if not total:
        return None
    ranked = sum(place * count for place, count in enumerate(sorted(counts), start=1))
    return 2 * ranked / (size * total) - (size + 1) / size


def _grouped(rows: Sequence[EvaluatedAnswer]) -> dict[str, dict[str, list[EvaluatedAnswer]]]:
    grouped: dict[str, dict[str, list[EvaluatedAnswer]]] = {split: {} for split in sorted({row.split for row in rows})}
    for row in rows:
        grouped[row.split].setdefault(row.system, []).append(row)
    return grouped


def _result(split: str, system: str, rows: list[EvaluatedAnswer], catalog: Mapping[str, str]) -> SystemResult:
    tokens, seconds = sum(row.tokens for row in rows), sum(row.seconds for row in rows)
    return SystemResult(
        split=split,
        system=system,
        answers=len(rows),
        rates={measure.name: rate_of(_by_product(rows, measure.counts)) for measure in METRICS},
        variety=_variety(rows, catalog),
        tokens=tokens,
        seconds=seconds,
        tokens_per_second=tokens / seconds if tokens and seconds else None,
    )


def _variety(rows: list[EvaluatedAnswer], catalog: Mapping[str, str]) -> Diversity:
    counts = Counter(each for row in rows for each in row.ids if each in catalog)
    top_id = min(counts, key=lambda each: (-counts[each], each), default=None)
    slots = min(counts.total(), len(catalog))
    return Diversity(
        covered=len(counts),
        catalog=len(catalog),
        top_id=top_id,
        top=rate_of(_by_product(rows, lambda row: _share_of(top_id, row, catalog))),
        gini=gini([*counts.values(), *[0] * (len(catalog) - len(counts))]),
        crowding=gini([*counts.values(), *[0] * (slots - len(counts))]),
    )


def _differences(before: list[EvaluatedAnswer], after: list[EvaluatedAnswer]) -> dict[str, Difference]:
    answered = {row.question_id: row for row in after}
    paired = [answered[row.question_id] for row in before]
    return {
        measure.name: difference(_by_product(before, measure.counts), _by_product(paired, measure.counts))
        for measure in METRICS
    }


def _by_product(rows: Iterable[EvaluatedAnswer], counts: Counting) -> list[tuple[int, int]]:
    """(hits, trials) summed per product: the questions of a product are correlated, so products are the clusters."""
    totals: dict[str, tuple[int, int]] = {}
    for row in rows:
        (hits, trials), (more_hits, more_trials) = totals.get(row.product_id, (0, 0)), counts(row)
        totals[row.product_id] = hits + more_hits, trials + more_trials
    return list(totals.values())


def _share_of(product_id: str | None, row: EvaluatedAnswer, catalog: Mapping[str, str]) -> tuple[int, int]:
    real = [each for each in row.ids if each in catalog]
    return real.count(product_id or ""), len(real)
