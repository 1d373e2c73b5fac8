"""Base and tuned model side by side: measures with their uncertainty, and answers to look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from skutune.answers import FormatError, Reference, parse_reference
from skutune.evaluation.metrics import references_of
from skutune.evaluation.rates import Rate, rate
from skutune.records import Evaluated
from skutune.report.figures import sample
from skutune.text import normalise_name

MODELS = ("base", "tuned")
_LONGEST = 2400  # characters of an answer shown; a model that does not stop would fill the page


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure of both models; a model that was not asked has a rate of 0 in 0."""

    title: str
    base: Rate
    tuned: Rate


@dataclass(frozen=True, slots=True)
class Variety:
    """What a model names over all questions: one that has learned a single answer has few products and a high share.

    `common_id` is the id referenced most often ("" without a reference), `common` its share of all references,
    `no_product` counts `(no close product)`, `seconds` is the mean time of an answer.
    """

    model: str
    products: int
    common_id: str
    common: Rate
    no_product: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of an answer. `kind` is text, right, wrong or none (`no close product`); `note` says what is wrong."""

    text: str
    kind: str = "text"
    note: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """One held-out question: what was expected, and what each model answered."""

    question: str
    split: str
    expected: list[Segment]
    answers: Mapping[str, list[Segment]]
    rows: Mapping[str, Evaluated]


def measures(rows: Sequence[Evaluated]) -> list[Measure]:
    """The measures over these rows: of answers, and (ids, names) of the references in them."""
    by_model = {model: [row for row in rows if row.model == model] for model in MODELS}

    def both(title: str, column: str, of_references: bool = False) -> Measure:
        base, tuned = (_rate(by_model[model], column, of_references) for model in MODELS)
        return Measure(title, base, tuned)

    return [
        both("answers in the format", "parses"),
        both("references whose id is in the catalog", "ids_in_catalog", True),
        both("references whose name and id agree", "names_agree", True),
        both("answers that name the product asked about", "names_source"),
    ]


def by_split(rows: Iterable[Evaluated]) -> dict[str, list[Measure]]:
    """The measures by why questions were held out."""
    found: dict[str, list[Evaluated]] = {}
    for row in rows:
        found.setdefault(row.split, []).append(row)
    return {split: measures(found[split]) for split in sorted(found)}


def varieties(rows: Sequence[Evaluated]) -> list[Variety]:
    """How varied the answers of each model that was asked are."""
    found = []
    for model in MODELS:
        own = [row for row in rows if row.model == model]
        named = [each for row in own for each in references_of(row.answer)[1]]
        ids = Counter(each.id for each in named if each is not None)
        if own:
            top = min(ids.items(), key=lambda item: (-item[1], item[0]), default=("", 0))
            seconds = sum(row.seconds for row in own) / len(own)
            found.append(Variety(model, len(ids), top[0], rate(top[1], ids.total()), named.count(None), seconds))
    return found


def chosen(rows: Iterable[Evaluated], size: int) -> list[dict[str, Evaluated]]:
    """Some questions, each with its row of each model."""
    questions: dict[str, dict[str, Evaluated]] = {}
    for row in rows:
        questions.setdefault(row.question_id, {})[row.model] = row
    return [questions[question_id] for question_id in sample(questions, size, str)]


def side_by_side(rows: Mapping[str, Evaluated], names: Mapping[str, str]) -> Sample:
    """A question's rows, marked up; `names` maps ids of the catalog to names, at least those that come in the rows."""
    first = next(iter(rows.values()))
    return Sample(
        question=first.question,
        split=first.split,
        expected=segments(first.expected, names),
        answers={model: segments(rows[model].answer, names) for model in MODELS if model in rows},
        rows=rows,
    )


def segments(text: str, names: Mapping[str, str]) -> list[Segment]:
    """A text in pieces, its lines that name products each marked as right or wrong."""
    shown = text if len(text) <= _LONGEST else text[:_LONGEST] + " … (cut here)"
    found: list[Segment] = []
    for line in shown.split("\n"):
        segment = _marked(line, names)
        if found and segment.kind == found[-1].kind == "text":
            found[-1] = Segment(found[-1].text + "\n" + segment.text)
        else:
            found.append(segment)
    return found


def ids_named(texts: Iterable[str]) -> set[str]:
    """The ids that come in these texts."""
    lines = (line for text in texts for line in text.split("\n"))
    return {reference.id for line in lines for reference in _references(line) if reference is not None}


def _marked(line: str, names: Mapping[str, str]) -> Segment:
    references = _references(line)
    named = [reference for reference in references if reference is not None]
    if not references:
        return Segment(line)
    if not named:
        return Segment(line, "none")
    faults = [fault for reference in named if (fault := _fault(reference, names)) is not None]
    return Segment(line, "wrong" if faults else "right", "; ".join(faults))


def _fault(reference: Reference, names: Mapping[str, str]) -> str | None:
    name = names.get(reference.id)
    if name is None:
        return f"no product has the id {reference.id}"
    agrees = normalise_name(name) == normalise_name(reference.name)
    return None if agrees else f"id {reference.id} is {name}"


def _references(line: str) -> tuple[Reference | None, ...]:
    """What a line names: read exactly, or else as the evaluation reads a broken answer."""
    try:
        return (parse_reference(line),)
    except FormatError:
        return references_of(line)[1]


def _rate(rows: Sequence[Evaluated], column: str, of_references: bool) -> Rate:
    trials = sum(row.references for row in rows) if of_references else len(rows)
    return rate(sum(int(getattr(row, column)) for row in rows), trials)
