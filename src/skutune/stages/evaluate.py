"""Ask base and tuned model the held-out questions, judge what they name, and measure the loss of both."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from typing import Any

from skutune.evaluation.generation import Answerer, Generated
from skutune.evaluation.metrics import compare, judge
from skutune.prompts.asking import question_messages
from skutune.records import Evaluated, Example, Product
from skutune.stages.base import Context, Outputs
from skutune.stages.compose import HELD_OUT_PRODUCT, HELD_OUT_QUESTION
from skutune.training.examples import load_examples
from skutune.training.loss import held_out_losses
from skutune.training.tokens import load_tokenizer

_BATCH = 8


class Evaluate:
    """Held-out examples → Evaluated rows; figures by model and split. Holds ids and names of the catalog."""

    def __init__(self, context: Context) -> None:
        self.context, self.inputs, self.config = context, context.inputs, context.config.stages.evaluate

    def run(self, outputs: Outputs) -> None:
        examples = self._chosen()
        rows = list(self._rows(examples)) if examples else []
        outputs.part(Evaluated, 0, rows)
        sources = {example.question_id: example.product_id for example in examples}
        outputs.figures["summary"] = [asdict(comparison) for comparison in compare(rows, sources)]
        outputs.figures["loss"] = self._losses()

    def _chosen(self) -> list[Example]:
        """Held-out questions of both splits, half and half where there are enough."""
        half = math.ceil(self.config.questions / 2)
        chosen: list[Example] = []
        for split in (HELD_OUT_QUESTION, HELD_OUT_PRODUCT):
            chosen += islice(self._held_out(split), half)
        return chosen[: self.config.questions]

    def _held_out(self, split: str) -> Iterator[Example]:
        for example in self.inputs.rows("compose", Example):
            if example.split == split and example.kind == "answer" and example.rejected is None:
                yield example

    def _rows(self, examples: list[Example]) -> Iterator[Evaluated]:
        catalog = {product.id: product.name for product in self.inputs.rows("ingest", Product)}
        questions = [question_messages(example.prompt) for example in examples]
        done = 0
        for model, answerer in self._answerers():
            answers = answerer.answers(
                questions, tuned=model == "tuned", max_tokens=self.config.max_tokens, batch_size=_BATCH
            )
            for example, answer in zip(examples, answers, strict=True):
                done += 1
                self.context.report("answers", done, 2 * len(examples))
                yield _evaluated(model, example, answer, catalog)

    def _answerers(self) -> Iterator[tuple[str, Answerer]]:
        """Base and tuned model: the same weights with the adapter off and on, or two models."""
        base, dtype = self.context.base(), self.context.config.models.base.dtype
        if self.context.config.stages.finetune.method == "lora":
            answerer = Answerer(base, self.inputs.folder("finetune", "adapter"), dtype=dtype)
            yield "base", answerer
            yield "tuned", answerer
        else:
            yield "base", Answerer(base, None, dtype=dtype)
            yield "tuned", Answerer(self.inputs.folder("finetune", "model"), None, dtype=dtype)

    def _losses(self) -> dict[str, Any] | None:
        """Loss a token on held-out answers; None without an adapter or without held-out examples."""
        file = self.inputs.file("compose", "validation.jsonl")
        finetune = self.context.config.stages.finetune
        if finetune.method != "lora" or file.stat().st_size == 0:
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


def _evaluated(model: str, example: Example, answer: Generated, catalog: dict[str, str]) -> Evaluated:
    judged = judge(answer.text, example.product_id, catalog)
    return Evaluated(
        question_id=example.question_id,
        split=example.split,
        model=model,
        question=example.prompt,
        expected=example.completion,
        answer=answer.text,
        parses=judged.parses,
        references=judged.references,
        ids_in_catalog=judged.ids_in_catalog,
        names_agree=judged.names_agree,
        names_source=judged.names_source,
        seconds=answer.seconds,
    )
