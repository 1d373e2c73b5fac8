"""The worst answers with their faults, by severity.

First those that break a constraint of the question, because that may harm; then those that name ids wrongly, those that
cannot be parsed, those that recommend nothing or repeat the question, and then those that the judge finds irrelevant.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from skutune.evaluation.parse_answer import agrees, references_of
from skutune.records import EvaluatedAnswer

LISTED = 20
_LONGEST = 2400  # characters of an answer kept; a model that does not stop would fill the file


@dataclass(frozen=True, slots=True)
class BadAnswer:
    """An answer and its defects, each a sentence without a full stop."""

    system: str
    split: str
    question: str
    answer: str
    faults: list[str]


def worst_answers(rows: Iterable[EvaluatedAnswer], catalog: Mapping[str, str], listed: int = LISTED) -> list[BadAnswer]:
    """The worst answers with defects, those of the tuned model if it was evaluated."""
    held = list(rows)
    judged = [row for row in held if row.system.startswith("tuned")] or held
    bad = sorted((row for row in judged if _rank(row) < _PERFECT), key=lambda row: (_rank(row), row.question_id))
    return [
        BadAnswer(row.system, row.split, row.question, row.answer[:_LONGEST], faults_of(row, catalog))
        for row in bad[:listed]
    ]


def faults_of(row: EvaluatedAnswer, catalog: Mapping[str, str]) -> list[str]:
    """What is wrong with an answer."""
    faults = [
        f"{catalog[each]} (id {each}) does not state {', '.join(row.constraints)}" for each in dict.fromkeys(row.broken)
    ]
    faults += _wrong_references(row.answer, catalog)
    if not row.parses:
        faults.append("does not parse")
    if not row.ids:
        faults.append("recommends no product")
    if row.repeats:
        faults.append(f"recommends what the shopper already has: {row.pairs_with}")
    named = [each for each in dict.fromkeys(row.irrelevant) if each in catalog]
    return faults + [f"the judge finds {catalog[each]} (id {each}) irrelevant" for each in named]


def _wrong_references(answer: str, catalog: Mapping[str, str]) -> list[str]:
    faults = []
    for reference in references_of(answer)[1]:
        if reference is None or agrees(reference, catalog):
            continue
        whose = f"is {catalog[reference.id]}" if reference.id in catalog else "is unknown"
        faults.append(f"{reference.name[:80]!r}: id {reference.id[:40]} {whose}")
    return list(dict.fromkeys(faults))


def _rank(row: EvaluatedAnswer) -> tuple[float, ...]:
    """Lower is worse."""
    judged = len(row.relevant) + len(row.irrelevant)
    return (
        -len(row.broken),
        row.names_agree - len(row.ids),
        row.parses,
        bool(row.ids),
        -row.repeats,
        len(row.relevant) / judged if judged else 1.0,
    )


_PERFECT: tuple[float, ...] = (0, 0, True, True, 0, 1.0)
