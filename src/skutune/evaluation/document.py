"""The results as one JSON document: `evaluation.json`.

Equal runs give equal documents but for what tells of time: `seconds` and `tokens_per_second` of the results.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from skutune.evaluation.judge import Agreement
from skutune.evaluation.metrics import METRICS, gains, results
from skutune.evaluation.recall import recalls
from skutune.evaluation.worst_answers import worst_answers
from skutune.prompts.judge import RUBRIC
from skutune.records import EvaluatedAnswer, RecallResult

FILE = "evaluation.json"


@dataclass(frozen=True, slots=True)
class JudgeFigures:
    """The judge (a role of the config's models), the number of judged pairs and of parsed verdicts."""

    model: str
    asked: int
    read: int
    agreement: Agreement | None


def document(
    rows: Sequence[EvaluatedAnswer],
    recalled: Sequence[RecallResult],
    *,
    systems: Sequence[str],
    catalog: Mapping[str, str],
    retrieval: str,
    judge: JudgeFigures | None,
    too_long: int = 0,
) -> dict[str, Any]:
    """All metrics of an evaluation as JSON; without held-out questions the lists are empty.

    `too_long` questions and descriptions were not asked, because no answer had room behind them.
    """
    questions = {(row.question_id, row.split) for row in rows}
    return {
        "systems": list(systems),
        "retrieval": retrieval,
        "questions": dict(sorted(Counter(split for _, split in questions).items())),
        "too_long": too_long,
        "measures": {measure.name: {"title": measure.title, "better": measure.better} for measure in METRICS},
        "results": [asdict(result) for result in results(rows, systems, catalog)],
        "gains": [asdict(gain) for gain in gains(rows)],
        "recall": [asdict(recall) for recall in recalls(recalled, systems)],
        "judge": asdict(judge) | {"rubric": RUBRIC} if judge else None,
        "worst": [asdict(bad) for bad in worst_answers(rows, catalog)],
    }
