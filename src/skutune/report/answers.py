"""Sample answers: what each system answered to some questions, with references marked as right or wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from skutune.answer_format import FormatError, Reference, parse_reference
from skutune.evaluation.parse_answer import references_of
from skutune.records import EvaluatedAnswer
from skutune.report.figures import sample
from skutune.text import normalise_name

_LONGEST = 2400  # characters shown of an answer; one of a model that does not stop would fill the page


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of an answer. `kind` is text, right, wrong or none (`no close product`); `note` says what is wrong."""

    text: str
    kind: str = "text"
    note: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """One held-out question: what was expected, and what each system answered."""

    question: str
    split: str
    expected: list[Segment]
    answers: Mapping[str, list[Segment]]
    rows: Mapping[str, EvaluatedAnswer]


def chosen(rows: Iterable[EvaluatedAnswer], size: int) -> list[dict[str, EvaluatedAnswer]]:
    """Some questions, each with its row of each system."""
    questions: dict[str, dict[str, EvaluatedAnswer]] = {}
    for row in rows:
        questions.setdefault(row.question_id, {})[row.system] = row
    return [questions[question_id] for question_id in sample(questions, size, str)]


def side_by_side(rows: Mapping[str, EvaluatedAnswer], names: Mapping[str, str]) -> Sample:
    """A question's rows, marked up; `names` maps ids of the catalog to names, at least those that come in the rows."""
    first = next(iter(rows.values()))
    return Sample(
        question=first.question,
        split=first.split,
        expected=segments(first.expected, names),
        answers={system: segments(row.answer, names) for system, row in rows.items()},
        rows=rows,
    )


def segments(text: str, names: Mapping[str, str]) -> list[Segment]:
    """Split a text into segments and mark its references as right or wrong."""
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
        return f"unknown id {reference.id}"
    agrees = normalise_name(name) == normalise_name(reference.name)
    return None if agrees else f"id {reference.id} is {name}"


def _references(line: str) -> tuple[Reference | None, ...]:
    """The reference in a line, parsed strictly or else leniently."""
    try:
        return (parse_reference(line),)
    except FormatError:
        return references_of(line)[1]
