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

from skutune.evaluation import relevance
from skutune.evaluation.demands import Demanding, Demands
from skutune.evaluation.document import FILE, JudgeFigures, document
from skutune.evaluation.reading import agrees, read, references_of
from skutune.evaluation.recall import IDENTITY_TOKENS, recalled
from skutune.evaluation.relevance import Judged, Pair
from skutune.hashing import unit_hash
from skutune.prompts.identify import description_of
from skutune.records import Evaluated, Example, Recalled
from skutune.sources import labels_file
from skutune.stages.answerers import Answerers, Given, timed
from skutune.stages.base import Context, Outputs
from skutune.stages.compose import HELD_OUT_PRODUCT, HELD_OUT_QUESTION, TRAIN
from skutune.stages.fitting import fitting
from skutune.training.examples import load_examples
from skutune.training.loss import held_out_losses
from skutune.training.tokens import load_tokenizer

_log = logging.getLogger(__name__)

RECALLED = "recalled"
"""The table of what was said of descriptions."""


class Evaluate:
    """Held-out examples → Evaluated and Recalled rows, `evaluation.json`. Holds the catalog and its linker."""

    def __init__(self, context: Context) -> None:
        self.context, self.inputs, self.config = context, context.inputs, context.config.stages.evaluate
        self._done, self._total = 0, 0

    def run(self, outputs: Outputs) -> None:
        questions, described, too_long = self._fitting(self._questions(), self._described())
        labels = self._labels()
        judge = self.config.judge.model
        if judge != "none" and (questions or labels):
            self.context.check_judge(judge)  # what cannot be had is told before hours of answers, not after them
        answerers = Answerers(self.context)
        catalog = {product.id: product.name for product in answerers.products}
        rows, recalls = self._asked(answerers, questions, described, catalog)
        rows, judged = self._judged(rows, labels, catalog)
        outputs.part(Evaluated, 0, rows)
        outputs.part(Recalled, 0, recalls, RECALLED)
        self._write(outputs, rows, recalls, catalog, judged, too_long)
        outputs.figures["loss"] = self._losses()

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
        fit = fitting(base, questions, self.config.max_tokens), fitting(base, described, IDENTITY_TOKENS)
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
        answerers: Answerers,
        questions: Sequence[Example],
        described: Sequence[Example],
        catalog: Mapping[str, str],
    ) -> tuple[list[Evaluated], list[Recalled]]:
        rows: list[Evaluated] = []
        recalls: list[Recalled] = []
        if not questions and not described:
            return rows, recalls
        demanding = Demanding(answerers.linker.evidence.index, answerers.linker.ids)
        demands = [demanding.of(example.prompt) for example in questions]
        self._total = len(self.config.systems) * (len(questions) + len(described))
        for system, answerer in answerers.each():
            answers = timed(answerer, [example.prompt for example in questions], self.config.batch_size)
            for example, asked, given in zip(questions, demands, answers, strict=True):
                rows.append(_evaluated(system, example, asked, given, catalog))
                self._tell()
            recalls += self._recalled(system, answerer.identify, described)
        return rows, recalls

    def _recalled(
        self,
        system: str,
        identify: Callable[[Sequence[str], Sequence[str]], list[str] | None],
        described: Sequence[Example],
    ) -> Iterator[Recalled]:
        for start in range(0, len(described), self.config.batch_size):
            batch = described[start : start + self.config.batch_size]
            prompts = [example.prompt for example in batch]
            texts = identify(prompts, [description_of(prompt) for prompt in prompts])
            for example, text in zip(batch, texts, strict=True) if texts is not None else ():
                yield recalled(example.product_id, example.split, system, text)
                self._tell()

    def _judged(
        self, rows: list[Evaluated], labels: Mapping[Pair, bool], catalog: Mapping[str, str]
    ) -> tuple[list[Evaluated], JudgeFigures | None]:
        """The rows with the judge's verdicts, and how good those are; unchanged where nobody judges."""
        pairs = [pair for row in rows for pair in relevance.pairs_of(row.question, row.ids, catalog)]
        judge = self.config.judge.model
        if judge == "none" or not (rows or labels):
            return rows, None
        asked = [*pairs, *labels]
        self._done, self._total = 0, len(set(asked))
        judged = Judged({}, 0)
        if asked:
            judged = relevance.judge_pairs(self.context.judge(judge), asked, lambda: self._tell("verdicts"))
        agreement = relevance.agreement(judged.verdicts, labels) if labels else None
        figures = JudgeFigures(judge, judged.asked, len(judged.verdicts), agreement)
        return [_with_verdicts(row, judged, catalog) for row in rows], figures

    def _labels(self) -> dict[Pair, bool]:
        labels = self.config.judge.labels
        if labels is None or self.config.judge.model == "none":
            return {}
        return relevance.read_labels(labels_file(labels, self.context.scratch))

    def _write(
        self,
        outputs: Outputs,
        rows: Sequence[Evaluated],
        recalls: Sequence[Recalled],
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


def _evaluated(system: str, example: Example, demands: Demands, given: Given, catalog: Mapping[str, str]) -> Evaluated:
    found = read(given.text, catalog)
    named = [reference for reference in references_of(given.text)[1] if reference is not None]
    return Evaluated(
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
        broken=demands.broken_by(found.ids),
        pairs_with=demands.repeated,
        repeats=demands.repeats(found.ids),
        relevant=[],
        irrelevant=[],
        judged=False,
        tokens=given.tokens,
        seconds=given.seconds,
    )


def _with_verdicts(row: Evaluated, judged: Judged, catalog: Mapping[str, str]) -> Evaluated:
    """The row with each of its ids, once, as relevant or not; what no product has is not."""
    relevant: list[str] = []
    irrelevant: list[str] = []
    for each in dict.fromkeys(row.ids):
        pairs = relevance.pairs_of(row.question, [each], catalog)
        verdict = judged.verdicts.get(pairs[0]) if pairs else False
        if verdict is not None:
            (relevant if verdict else irrelevant).append(each)
    has_verdict = bool(relevant or irrelevant or not row.ids)
    return replace(row, relevant=relevant, irrelevant=irrelevant, judged=has_verdict)
