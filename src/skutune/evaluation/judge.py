"""Relevance judged by an LLM, and its agreement with people.

Each distinct pair of a question and a product is judged once, whichever systems recommend it, so that all are judged
alike and an answer's prose cannot sway the judge. A verdict that cannot be read counts as none and is counted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from skutune.engines.base import Request, Sampling, TextEngine
from skutune.errors import InputError, Problem
from skutune.evaluation.rates import Rate, rate
from skutune.prompts import judge as prompts
from skutune.text import fold

Pair = tuple[str, str]
"""A question and the name of a product."""
_TOKENS = 16
_EXPECTED = 'write {"question": …, "product": …, "verdict": "yes" or "no"}'
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Judged:
    """The verdicts of a judge: True for relevant. `asked` counts all pairs, also those without a parsed verdict."""

    verdicts: Mapping[Pair, bool]
    asked: int


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement with human verdicts. `kappa` is Cohen's: 0 is chance, 1 perfect; None if all verdicts agree."""

    labels: int
    agrees: Rate
    kappa: float | None


def judge_pairs(engine: TextEngine, pairs: Iterable[Pair], on_verdict: Callable[[], None] = lambda: None) -> Judged:
    """Judge each distinct pair once, with greedy decoding. Raises DeviceError."""
    distinct = list(dict.fromkeys(pairs))
    requests = (
        Request(str(number), prompts.judge(*pair), Sampling(_TOKENS, temperature=0.0, top_p=1.0), prompts.SCHEMA)
        for number, pair in enumerate(distinct)
    )
    verdicts = {}
    for result in engine.generate(requests):
        on_verdict()
        verdict = read_verdict(result.text)
        if verdict is not None:
            verdicts[distinct[int(result.id)]] = verdict
    return Judged(verdicts, len(distinct))


def read_verdict(text: str) -> bool | None:
    """The verdict in a judge's response; None if it does not follow the schema."""
    try:
        parsed = json.loads(text)
    except json.JSONDecodeError:
        return None
    return {"yes": True, "no": False}.get(str(parsed.get("good"))) if isinstance(parsed, dict) else None


def measure_agreement(verdicts: Mapping[Pair, bool], labels: Mapping[Pair, bool]) -> Agreement:
    """Compare the judge's verdicts with human ones on the pairs that have both."""
    from sklearn.metrics import cohen_kappa_score

    both = [(labels[pair], verdicts[pair]) for pair in labels if pair in verdicts]
    same = rate(sum(one == other for one, other in both), len(both))
    # With one and the same verdict everywhere, chance agrees wholly and kappa is nothing divided by nothing.
    tells = len({verdict for pair in both for verdict in pair}) == 2
    kappa = float(cohen_kappa_score(*zip(*both, strict=True))) if tells else None
    return Agreement(len(labels), same, kappa)


def read_labels(path: Path) -> dict[Pair, bool]:
    """Read human verdicts: JSON lines with question, product (its name) and verdict (yes or no).

    Raises:
        InputError: the file cannot be read, or lines of it cannot; it names them.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"stages.evaluate.judge.labels {path}: cannot be read as text: {error}") from error
    labels: dict[Pair, bool] = {}
    problems = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            label = _label(line)
            if label is None:
                problems.append(Problem(f"line {number}", _EXPECTED))
            else:
                labels[label[0]] = label[1]
    if problems or not labels:
        what = "invalid lines" if problems else "contains no verdicts"
        raise InputError(f"stages.evaluate.judge.labels {path}: {what}", problems[:_SHOWN])
    return labels


def _label(line: str) -> tuple[Pair, bool] | None:
    try:
        parsed = json.loads(line)
    except json.JSONDecodeError:
        return None
    if not isinstance(parsed, dict):
        return None
    question, product = parsed.get("question"), parsed.get("product")
    verdict = {"yes": True, "no": False}.get(str(parsed.get("verdict")).lower())
    if not isinstance(question, str) or not isinstance(product, str) or verdict is None:
        return None
    return (fold(question), fold(product)), verdict


def pairs_of(question: str, ids: Sequence[str], catalog: Mapping[str, str]) -> list[Pair]:
    """The pairs to judge for one answer: its distinct products that are in the catalog."""
    return [(fold(question), fold(catalog[each])) for each in dict.fromkeys(ids) if each in catalog]
