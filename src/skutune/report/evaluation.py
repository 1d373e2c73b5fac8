"""Tables of the evaluation: for each split a row per metric and a column per system."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from skutune.evaluation.intervals import Difference
from skutune.evaluation.rates import Rate
from skutune.evaluation.worst_answers import BadAnswer
from skutune.report import formatting

SYSTEMS = {
    "base": "base",
    "base-constrained": "base, constrained",
    "base-linked": "base, linked",
    "tuned": "tuned",
    "tuned-constrained": "tuned, constrained",
    "tuned-linked": "tuned, linked",
    "retrieval": "search",
}
"""Display names of the systems."""
_VERDICT = "name_agrees"


@dataclass(frozen=True, slots=True)
class MetricRow:
    """A metric over the systems of a table, and the gain of tuning by tuned system."""

    title: str
    better: str
    cells: list[Rate]
    gains: Mapping[str, Difference]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure without an interval over the systems of a table."""

    title: str
    cells: list[str]


@dataclass(frozen=True, slots=True)
class Compared:
    """The table of one split; without a split, of recall. `systems` are the columns."""

    split: str
    systems: list[str]
    questions: int
    lines: list[MetricRow]
    figures: list[Figure]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Agreement of names and ids in unconstrained answers of base and tuned model; None if not evaluated."""

    split: str
    base: Rate | None
    tuned: Rate | None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All of `evaluation.json` that the page shows; `verdicts` is the one measure that counts, for each split."""

    verdicts: list[Verdict]
    splits: list[Compared]
    recall: list[Compared]
    judge: Mapping[str, Any] | None
    agrees: Rate | None
    worst: list[BadAnswer]
    retrieval: str
    too_long: int


def read_evaluation(document: Mapping[str, Any], names: Mapping[str, str]) -> Evaluation:
    """The parsed document; `names` maps the catalog's ids to names, at least those of the most recommended products."""
    results: list[Mapping[str, Any]] = document["results"]
    splits = sorted({result["split"] for result in results})
    judge = document["judge"]
    agreement = judge["agreement"] if judge else None
    return Evaluation(
        verdicts=[_verdict(split, results) for split in splits],
        splits=[_compared(split, document, names) for split in splits],
        recall=_recall(document["recall"]),
        judge=judge,
        agrees=Rate(**agreement["agrees"]) if agreement else None,
        worst=[BadAnswer(**bad) for bad in document["worst"]],
        retrieval=document["retrieval"],
        too_long=document["too_long"],
    )


def top_ids(document: Mapping[str, Any]) -> set[str]:
    """The ids that were recommended most by any system."""
    return {result["variety"]["top_id"] for result in document["results"]} - {None}


def _compared(split: str, document: Mapping[str, Any], names: Mapping[str, str]) -> Compared:
    results = [result for result in document["results"] if result["split"] == split]
    gains = {gain["tuned"]: gain["differences"] for gain in document["gains"] if gain["split"] == split}
    lines = []
    for name, measure in document["measures"].items():
        cells = [Rate(**result["rates"][name]) for result in results]
        if any(cell.trials for cell in cells):
            row_gains = {system: Difference(**differences[name]) for system, differences in gains.items()}
            lines.append(MetricRow(measure["title"], measure["better"], cells, row_gains))
    tops = [Rate(**result["variety"]["top"]) for result in results]
    lines.append(MetricRow("share of the most recommended product", "", tops, {}))
    return Compared(
        split=split,
        systems=[result["system"] for result in results],
        questions=document["questions"][split],
        lines=lines,
        figures=_figures(results, names),
    )


def _figures(results: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> list[Figure]:
    varieties = [result["variety"] for result in results]
    tops = [names.get(variety["top_id"] or "", formatting.NOTHING) for variety in varieties]
    speeds = [result["tokens_per_second"] for result in results]
    return [
        Figure("most recommended product", tops),
        Figure("distinct products", [f"{each['covered']:,} of {each['catalog']:,}" for each in varieties]),
        Figure("Gini over the catalog", [formatting.figure(_rounded(each["gini"])) for each in varieties]),
        Figure("crowding", [formatting.figure(_rounded(each["crowding"])) for each in varieties]),
        Figure("tokens per second", [formatting.figure(_rounded(speed, 1)) for speed in speeds]),
        Figure("time per answer", [formatting.duration(each["seconds"] / max(each["answers"], 1)) for each in results]),
    ]


def _recall(recalls: Sequence[Mapping[str, Any]]) -> list[Compared]:
    compared = []
    for split in sorted({recall["split"] for recall in recalls}, reverse=True):
        own = [recall for recall in recalls if recall["split"] == split]
        line = MetricRow(
            "descriptions identified by the right id", "more", [Rate(**recall["right"]) for recall in own], {}
        )
        compared.append(Compared(split, [recall["system"] for recall in own], own[0]["descriptions"], [line], []))
    return compared


def _verdict(split: str, results: Sequence[Mapping[str, Any]]) -> Verdict:
    rates = {result["system"]: Rate(**result["rates"][_VERDICT]) for result in results if result["split"] == split}
    return Verdict(split, rates.get("base"), rates.get("tuned"))


def _rounded(number: float | None, digits: int = 2) -> float | None:
    return None if number is None else round(number, digits)
