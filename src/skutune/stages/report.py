"""Write the report: everything that a run did and what came of it, as one HTML file."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import PurePosixPath
from typing import Any

from skutune.config.schema import ModelConfig
from skutune.evaluation.document import FILE as EVALUATION
from skutune.pipeline import graph
from skutune.pipeline.stage_io import MODEL_VERSION, Outputs
from skutune.records import (
    Answer,
    Coverage,
    Description,
    EvaluatedAnswer,
    Example,
    Expansion,
    Link,
    Name,
    Product,
    Question,
    Recommendation,
    Reject,
    Variant,
)
from skutune.report import answers, page
from skutune.report.classifier import read_classifying
from skutune.report.coverage import tally_coverage
from skutune.report.evaluation import read_evaluation, top_ids
from skutune.report.figures import sample
from skutune.report.linking import tally_links
from skutune.report.losses import Losses, read_losses
from skutune.report.pipeline import RejectedSample, RowOutcome, count_reasons, one_a_kind, stage_cost
from skutune.stages.base import Context
from skutune.stages.compose import TRAIN

FILE = "report.html"
_LISTED = 20  # rows of a list at most
_EXAMPLES = {"answer": 3, "description": 2}
_EXAMPLE_PARTS = 8  # parts of the examples that are read for samples
_REJECTED_A_STAGE = 4
_REJECTED_PARTS = 4
_REJECTED_SCANNED = 5000  # rejected rows of a stage that are looked through for different reasons

# Stage → its record, and what of a rejected row is shown: (row, text).
_REJECTABLE: dict[str, tuple[Callable[..., Any], Callable[[Any], tuple[str, str]]]] = {
    "describe": (Description, lambda row: (row.product_id, row.text)),
    "paraphrase": (Variant, lambda row: (f"{row.product_id}, variant {row.number}", row.text)),
    "question": (Question, lambda row: (row.id, row.text)),
    "recommend": (Recommendation, lambda row: (row.question_id, ", ".join(row.names))),
    "expand": (Expansion, lambda row: (row.name, row.text)),
    "answer": (Answer, lambda row: (row.question_id, row.introduction)),
    "compose": (Example, lambda row: (row.id, row.prompt)),
}


class Report:
    """Manifests and samples of all tables → `report.html`, in the stage's folder and in the run's."""

    def __init__(self, context: Context) -> None:
        self.context, self.inputs, self.config = context, context.inputs, context.config

    def run(self, outputs: Outputs) -> None:
        path = self.context.scratch / FILE
        path.write_text(page.render(self._page()), encoding="utf-8")
        outputs.file(FILE, path)
        outputs.publish(FILE, path)
        outputs.figures["bytes"] = path.stat().st_size

    def _page(self) -> page.Page:
        manifests = self.inputs.manifests
        rows = list(self.inputs.rows("evaluate", EvaluatedAnswer))
        questions = answers.chosen(rows, self.config.stages.report.samples)
        examples = [*self._examples("answer"), *self._examples("description")]
        evaluation = self.inputs.json("evaluate", EVALUATION)
        names = self._names(answers.ids_named(_texts(questions, examples)) | top_ids(evaluation))
        coverage = self.inputs.rows("compose", Coverage, "coverage")
        return page.Page(
            run=self.config.run,
            catalog=PurePosixPath(self.config.catalog.source).name,
            made=datetime.now(UTC),
            models=self._models(),
            figures={name: manifest.figures for name, manifest in manifests.items()},
            questions=manifests["question"].rows() - manifests["question"].rejected(),
            stages=[stage_cost(graph.stage(name), manifests[name], self._reasons(name)) for name in manifests],
            versions=self._versions(),
            evaluation=read_evaluation(evaluation, names),
            samples=[answers.side_by_side(question, names) for question in questions],
            losses=self._losses(),
            linking=tally_links(self._links(), _LISTED),
            classifying=read_classifying(manifests["classify"].figures),
            precision=self.config.stages.link.precision,
            coverage=tally_coverage(coverage, self.config.coverage.min_examples, _LISTED),
            min_examples=self.config.coverage.min_examples,
            examples=[page.ShownExample(row, answers.segments(row.completion, names)) for row in examples],
            rejected=[sample for name in manifests for sample in self._rejected(name)],
        )

    def _models(self) -> list[page.ModelLine]:
        return [
            page.ModelLine(role, _model_name(model), model.revision, self._identity(role))
            for role, model in self.config.models
            if model is not None
        ]

    def _identity(self, role: str) -> str | None:
        """What the stages that used a model noted of its weights."""
        noted = (manifest.versions.get(MODEL_VERSION + role) for manifest in self.inputs.manifests.values())
        return next((identity for identity in noted if identity), None)

    def _reasons(self, name: str) -> Counter[str]:
        if name == "ingest":
            return count_reasons(RowOutcome(row.reason) for row in self.inputs.rows("ingest", Reject, "rejects"))
        if name not in _REJECTABLE:
            return Counter()
        return count_reasons(
            row for part in self._parts_with_rejects(name) for row in self.inputs.part(name, RowOutcome, part)
        )

    def _parts_with_rejects(self, name: str) -> list[int]:
        parts = self.inputs.manifest(name).parts()
        return [number for number in sorted(parts) if parts[number].rejected]

    def _rejected(self, name: str) -> list[RejectedSample]:
        return one_a_kind(islice(self._rejected_rows(name), _REJECTED_SCANNED), _REJECTED_A_STAGE)

    def _rejected_rows(self, name: str) -> Iterator[RejectedSample]:
        if name == "ingest":
            for row in self.inputs.rows("ingest", Reject, "rejects"):
                yield RejectedSample("ingest", f"line {row.line}", row.reason, row.content)
        elif name in _REJECTABLE:
            record, show = _REJECTABLE[name]
            for part in _spread(self._parts_with_rejects(name), _REJECTED_PARTS):
                for row in self.inputs.part(name, record, part):
                    if row.rejected is not None:
                        shown, text = show(row)
                        yield RejectedSample(name, shown, row.rejected, text)

    def _links(self) -> Iterator[tuple[Link, int]]:
        """Each link with how often its name was recommended: both tables are bucketed alike."""
        for part in self.inputs.part_numbers("link"):
            counts = {name.normalised: name.count for name in self.inputs.part("distinct", Name, part)}
            for link in self.inputs.part("link", Link, part):
                yield link, counts.get(link.normalised, 0)

    def _names(self, ids: set[str]) -> dict[str, str]:
        """The catalog's names of some ids."""
        return {product.id: product.name for product in self.inputs.rows("ingest", Product) if product.id in ids}

    def _losses(self) -> Losses:
        if not self.inputs.manifest("finetune").files("metrics.jsonl"):
            return read_losses(())
        with self.inputs.file("finetune", "metrics.jsonl").open(encoding="utf-8") as lines:
            return read_losses(lines)

    def _examples(self, kind: str) -> list[Example]:
        """Some training examples, from a few parts."""
        parts = _spread(self.inputs.part_numbers("compose"), _EXAMPLE_PARTS)
        rows = (row for part in parts for row in self.inputs.part("compose", Example, part))
        used = (row for row in rows if row.kind == kind and row.split == TRAIN and row.rejected is None)
        return sample(used, _EXAMPLES[kind], lambda row: row.id)

    def _versions(self) -> dict[str, str]:
        noted = {
            name: version for manifest in self.inputs.manifests.values() for name, version in manifest.versions.items()
        }
        return {name: noted[name] for name in sorted(noted) if not name.startswith(MODEL_VERSION)}


def _texts(questions: list[dict[str, EvaluatedAnswer]], examples: list[Example]) -> Iterator[str]:
    for question in questions:
        for row in question.values():
            yield from (row.expected, row.answer)
    yield from (example.completion for example in examples)


def _spread(numbers: list[int], most: int) -> list[int]:
    """At most so many of the numbers, evenly spread."""
    return numbers[:: math.ceil(len(numbers) / most)] if numbers else []


def _model_name(model: ModelConfig) -> str:
    """A model's name for a page that others read: of a folder or prefix the last part."""
    if getattr(model, "engine", None) == "scripted":
        return "none: texts and vectors are scripted"
    name = model.name
    return PurePosixPath(name).name if "://" in name or name.startswith(("/", ".", "~")) else name
