"""Ask every system the held-out questions, judge what it recommends, and measure the loss of base and tuned model.

Questions and descriptions are chosen by a hash of their ids and asked in one order and in equal batches, greedily, so
that the same run gives the same evaluation but for its seconds.
"""

from __future__ import annotations

import heapq
import json
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from skutune.evaluation.constraints import ConstraintReader, Constraints
from skutune.evaluation.document import FILE, JudgeFigures, document
from skutune.evaluation.judge import Judged, Pair, judge_pairs, measure_agreement, pairs_of, read_labels
from skutune.evaluation.parse_answer import agrees, parse_loosely, references_of
from skutune.evaluation.prompt_lengths import drop_long_prompts
from skutune.evaluation.recall import IDENTITY_TOKENS, recalled
from skutune.evaluation.systems import Models, Systems, TimedAnswer, timed
from skutune.hashing import unit_hash
from skutune.linking import load_linker
from skutune.pipeline.stage_io import Outputs
from skutune.pipeline.user_files import labels_file
from skutune.prompts.identify import description_of
from skutune.records import Description, EvaluatedAnswer, Example, Product, RecallResult
from skutune.serving.catalog_trie import load_trie
from skutune.stages.base import Context
from skutune.stages.compose import HELD_OUT_PRODUCT, HELD_OUT_QUESTION, TRAIN
from skutune.training.examples import load_examples
from skutune.training.loss import held_out_losses
from skutune.training.tokens import load_tokenizer

_log = logging.getLogger(__name__)

RECALLED = "recalled"
"""The table of what was said of descriptions."""


class Evaluate:
    """Held-out examples → EvaluatedAnswer and RecallResult rows, `evaluation.json`. Keeps the catalog in memory."""

    def __init__(self, context: Context) -> None:
        self.context, self.inputs, self.config = context, context.inputs, context.config.stages.evaluate
        self._done, self._total = 0, 0

    def run(self, outputs: Outputs) -> None:
        questions, described, too_long = self._fitting(self._questions(), self._described())
        labels = self._labels()
        judge = self.config.judge.model
        if judge != "none" and (questions or labels):
            self.context.check_judge(judge)  # a missing judge must fail before hours of answers, not after them
        systems = self._systems()
        catalog = {product.id: product.name for product in systems.products}
        rows, recalls = self._asked(systems, questions, described, catalog)
        rows, judged = self._judged(rows, labels, catalog)
        outputs.part(EvaluatedAnswer, 0, rows)
        outputs.part(RecallResult, 0, recalls, RECALLED)
        self._write(outputs, rows, recalls, catalog, judged, too_long)
        outputs.figures["loss"] = self._losses()

    def _systems(self) -> Systems:
        config, inputs = self.context.config, self.inputs
        is_adapter = config.stages.finetune.trains_adapter
        models = Models(
            base=self.context.base,
            tuned=lambda: inputs.folder("finetune", "adapter" if is_adapter else "model"),
            is_adapter=is_adapter,
            dtype=config.models.base.dtype,
            trie=lambda: load_trie(inputs),
            encoder=self.context.encoder,
        )
        linker = load_linker(inputs.folder("classify", "linker"))
        products = {product.id: product for product in inputs.rows("ingest", Product)}
        return Systems(
            config=self.config,
            link=config.stages.link,
            models=models,
            linker=linker,
            products=[products[each] for each in linker.ids],
            descriptions=lambda: inputs.rows("describe", Description),
        )

    def _questions(self) -> list[Example]:
        """Held-out questions of both splits, half and half where there are enough."""
        most = self.config.questions
        by_wording = self._chosen(most, HELD_OUT_QUESTION, "answer")
        by_product = self._chosen(most, HELD_OUT_PRODUCT, "answer")
        half = math.ceil(most / 2)
        first = by_wording[: max(half, most - len(by_product))]
        return first + by_product[: most - len(first)]

    def _described(self) -> list[Example]:
        """Descriptions that were trained, and those of products that were not."""
        most = self.config.recall
        return self._chosen(most, TRAIN, "description") + self._chosen(most, HELD_OUT_PRODUCT, "description")

    def _fitting(self, questions: list[Example], described: list[Example]) -> tuple[list[Example], list[Example], int]:
        """What leaves room for an answer, and how much does not; a search has room for everything."""
        if self.config.systems == ("retrieval",) or not (questions or described):
            return questions, described, 0
        base = self.context.base()
        fit = (
            drop_long_prompts(base, questions, self.config.max_tokens),
            drop_long_prompts(base, described, IDENTITY_TOKENS),
        )
        left_out = len(questions) + len(described) - len(fit[0]) - len(fit[1])
        if left_out:
            _log.warning("%d questions and descriptions are left out: too long for the base model", left_out)
        return *fit, left_out

    def _chosen(self, most: int, split: str, kind: str) -> list[Example]:
        rows = (
            example
            for example in self.inputs.rows("compose", Example)
            if example.split == split and example.kind == kind and example.rejected is None
        )
        return heapq.nsmallest(most, rows, key=lambda example: unit_hash("evaluate", example.id))

    def _asked(
        self,
        systems: Systems,
        questions: Sequence[Example],
        described: Sequence[Example],
        catalog: Mapping[str, str],
    ) -> tuple[list[EvaluatedAnswer], list[RecallResult]]:
        rows: list[EvaluatedAnswer] = []
        recalls: list[RecallResult] = []
        if not questions and not described:
            return rows, recalls
        demanding = ConstraintReader(systems.linker.evidence.index, systems.linker.ids)
        demands = [demanding.of(example.prompt) for example in questions]
        self._total = len(self.config.systems) * (len(questions) + len(described))
        for name, system in systems.each():
            answers = timed(system, [example.prompt for example in questions], self.config.batch_size)
            for example, asked, given in zip(questions, demands, answers, strict=True):
                rows.append(_evaluated(name, example, asked, given, catalog))
                self._tell()
            recalls += self._recalled(name, system.identify, described)
        return rows, recalls

    def _recalled(
        self,
        system: str,
        identify: Callable[[Sequence[str], Sequence[str]], list[str] | None],
        described: Sequence[Example],
    ) -> Iterator[RecallResult]:
        for start in range(0, len(described), self.config.batch_size):
            batch = described[start : start + self.config.batch_size]
            prompts = [example.prompt for example in batch]
            texts = identify(prompts, [description_of(prompt) for prompt in prompts])
            for example, text in zip(batch, texts, strict=True) if texts is not None else ():
                yield recalled(example.product_id, example.split, system, text)
                self._tell()

    def _judged(
        self, rows: list[EvaluatedAnswer], labels: Mapping[Pair, bool], catalog: Mapping[str, str]
    ) -> tuple[list[EvaluatedAnswer], JudgeFigures | None]:
        """The rows with the judge's verdicts, and how good those are; unchanged where nobody judges."""
        pairs = [pair for row in rows for pair in pairs_of(row.question, row.ids, catalog)]
        judge = self.config.judge.model
        if judge == "none" or not (rows or labels):
            return rows, None
        asked = [*pairs, *labels]
        self._done, self._total = 0, len(set(asked))
        judged = Judged({}, 0)
        if asked:
            judged = judge_pairs(self.context.judge(judge), asked, lambda: self._tell("verdicts"))
        agreement = measure_agreement(judged.verdicts, labels) if labels else None
        figures = JudgeFigures(judge, judged.asked, len(judged.verdicts), agreement)
        return [_with_verdicts(row, judged, catalog) for row in rows], figures

    def _labels(self) -> dict[Pair, bool]:
        labels = self.config.judge.labels
        if labels is None or self.config.judge.model == "none":
            return {}
        return read_labels(labels_file(labels, self.context.scratch))

    def _write(
        self,
        outputs: Outputs,
        rows: Sequence[EvaluatedAnswer],
        recalls: Sequence[RecallResult],
        catalog: Mapping[str, str],
        judge: JudgeFigures | None,
        too_long: int,
    ) -> None:
        found = document(
            rows,
            recalls,
            systems=self.config.systems,
            catalog=catalog,
            retrieval=self.config.retrieval,
            judge=judge,
            too_long=too_long,
        )
        path = self.context.scratch / FILE
        path.write_text(json.dumps(found, ensure_ascii=False, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        outputs.file(FILE, path)
        outputs.publish(FILE, path)
        outputs.figures["questions"] = found["questions"]
        outputs.figures["name_agrees"] = {system: _agreement(rows, system) for system in self.config.systems}

    def _tell(self, unit: str = "answers") -> None:
        self._done += 1
        self.context.report(unit, self._done, self._total)

    def _losses(self) -> dict[str, Any] | None:
        """Loss a token on held-out answers; None without an adapter or without held-out examples."""
        file = self.inputs.file("compose", "validation.jsonl")
        finetune = self.context.config.stages.finetune
        if not finetune.trains_adapter or file.stat().st_size == 0:
            return None
        adapter = self.inputs.folder("finetune", "adapter")
        tokenizer = load_tokenizer(adapter)
        examples = load_examples(file, tokenizer, finetune.max_length, self.context.scratch / "encoded")
        losses = held_out_losses(
            self.context.base(),
            adapter,
            examples,
            dtype=self.context.config.models.base.dtype,
            batch_size=finetune.micro_batch_size,
            pad_token=tokenizer.pad_token_id,
        )
        return asdict(losses)


def _agreement(rows: Sequence[EvaluatedAnswer], system: str) -> float | None:
    """The share of a system's references whose name and id agree; None without references."""
    of_system = [row for row in rows if row.system == system]
    references = sum(len(row.ids) for row in of_system)
    return sum(row.names_agree for row in of_system) / references if references else None


def _evaluated(
    system: str, example: Example, demands: Constraints, given: TimedAnswer, catalog: Mapping[str, str]
) -> EvaluatedAnswer:
    found = parse_loosely(given.text, catalog)
    named = [reference for reference in references_of(given.text)[1] if reference is not None]
    return EvaluatedAnswer(
        question_id=example.question_id,
        product_id=example.product_id,
        split=example.split,
        system=system,
        question=example.prompt,
        expected=example.completion,
        answer=given.text,
        parses=found.parses,
        ids=list(found.ids),
        no_product=found.no_product,
        ids_in_catalog=found.ids_in_catalog,
        names_agree=found.names_agree,
        names_source=any(each.id == example.product_id and agrees(each, catalog) for each in named),
        constraints=list(demands.constraints),
        broken=demands.violations(found.ids),
        pairs_with=demands.repeated,
        repeats=demands.repeats(found.ids),
        relevant=[],
        irrelevant=[],
        judged=False,
        tokens=given.tokens,
        seconds=given.seconds,
    )


def _with_verdicts(row: EvaluatedAnswer, judged: Judged, catalog: Mapping[str, str]) -> EvaluatedAnswer:
    """The row with each of its ids, once, as relevant or not; what no product has is not."""
    relevant: list[str] = []
    irrelevant: list[str] = []
    for each in dict.fromkeys(row.ids):
        pairs = pairs_of(row.question, [each], catalog)
        verdict = judged.verdicts.get(pairs[0]) if pairs else False
        if verdict is not None:
            (relevant if verdict else irrelevant).append(each)
    has_verdict = bool(relevant or irrelevant or not row.ids)
    return replace(row, relevant=relevant, irrelevant=irrelevant, judged=has_verdict)
