"""Compose training and validation examples, each re-parsed, its names and ids looked up again; account for coverage."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TextIO

from skutune.answer_format import AnswerItem, AnswerText, FormatError, Reference, parse, render
from skutune.hashing import content_key, unit_hash
from skutune.pipeline.stage_io import Outputs
from skutune.prompts.asking import question_messages
from skutune.prompts.chat_template import Messages
from skutune.prompts.identify import identify_messages, render_identity
from skutune.records import Answer, Coverage, Description, Example, Product, Question, Recommendation, Variant
from skutune.stages.base import Context

_ENOUGH = 4  # of fewer, one is too many to hold out
TRAIN, HELD_OUT_PRODUCT, HELD_OUT_QUESTION = "train", "held_out_product", "held_out_question"


@dataclass
class _Ledger:
    """What became of one product's questions."""

    questions: int = 0
    examples: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


class Compose:
    """All of step 3 → examples (Parquet and JSONL), and the coverage ledger.

    Streams part by part; holds the catalog's ids and names, about 250 bytes a product.
    """

    def __init__(self, context: Context) -> None:
        self.context, self.inputs = context, context.inputs
        self.config, self.coverage = context.config.stages.compose, context.config.coverage
        self.names: dict[str, str] = {}
        self.references: Counter[str] = Counter()
        self.splits: Counter[str] = Counter()
        self.rejects: Counter[str] = Counter()

    def run(self, outputs: Outputs) -> None:
        self.names = {product.id: product.name for product in self.inputs.rows("ingest", Product)}
        held = how_many(len(self.names), self.config.hold_out_products)
        held_products = set(by_hash(self.names, "product")[:held])
        held_questions = self._held_questions(held_products)
        train, validation = self.context.scratch / "train.jsonl", self.context.scratch / "validation.jsonl"
        ledgers: dict[str, _Ledger] = {}
        outputs.buckets = self.inputs.manifest("ingest").buckets
        with train.open("w", encoding="utf-8") as train_file, validation.open("w", encoding="utf-8") as other_file:
            for done, part in enumerate(self.inputs.part_numbers("ingest"), start=1):
                examples = list(self._examples(part, held_products, held_questions, ledgers))
                for example in examples:
                    self._write(example, train_file if example.split == TRAIN else other_file)
                outputs.part(Example, part, examples)
                self.context.report("parts", done, outputs.buckets)
        outputs.file("train.jsonl", train)
        outputs.file("validation.jsonl", validation)
        self._account(outputs, ledgers, held_products)

    def _examples(
        self,
        part: int,
        held_products: set[str],
        held_questions: set[str],
        ledgers: dict[str, _Ledger],
    ) -> Iterator[Example]:
        for example in self._answers(part):
            ledger = ledgers.setdefault(example.product_id, _Ledger())
            ledger.questions += 1
            if example.rejected is not None:
                ledger.reasons[_kind(example.rejected)] += 1
            split = TRAIN
            if example.product_id in held_products:
                split = HELD_OUT_PRODUCT
            elif example.question_id in held_questions:
                split = HELD_OUT_QUESTION
                ledger.reasons["held out for validation"] += 1
            elif example.rejected is None:
                ledger.examples += 1
            yield _with_split(example, split)
        if self.config.description_examples:
            for example in self._descriptions(part):
                yield _with_split(example, HELD_OUT_PRODUCT if example.product_id in held_products else TRAIN)

    def _answers(self, part: int) -> Iterator[Example]:
        recommendations = {row.question_id: row for row in self.inputs.part("recommend", Recommendation, part)}
        answers = {row.question_id: row for row in self.inputs.part("answer", Answer, part)}
        for question in self.inputs.part("question", Question, part):
            yield self._example(question, recommendations.get(question.id), answers.get(question.id))

    def _example(self, question: Question, recommendation: Recommendation | None, answer: Answer | None) -> Example:
        if question.rejected is not None:
            return _rejected(question, f"question: {question.rejected}")
        if recommendation is None or recommendation.rejected is not None:
            reason = "missing" if recommendation is None else recommendation.rejected
            return _rejected(question, f"recommendation: {reason}")
        if answer is None or answer.rejected is not None:
            reason = "answer: missing" if answer is None else answer.rejected or ""
            return _rejected(question, reason if reason.startswith("link: ") else f"answer: {reason}")
        try:
            completion = render(self._answer_text(answer))
            self._check(completion, question.product_id)
        except FormatError as error:
            return _rejected(question, f"format: {error}")
        prompt = question_messages(question.text)[-1]["content"]
        return _example(question.id, "answer", question.product_id, question.id, prompt, completion, answer.products)

    def _answer_text(self, answer: Answer) -> AnswerText:
        references = [Reference(each, self.names.get(each, "")) if each else None for each in answer.products]
        items = [AnswerItem(*each) for each in zip(answer.names, answer.paragraphs, references, strict=True)]
        return AnswerText(answer.introduction, tuple(items), answer.conclusion)

    def _check(self, completion: str, source_id: str) -> None:
        """The gate: what is trained parses, and each id in it is in the catalog, under the name beside it."""
        products = [item.product for item in parse(completion).items if item.product is not None]
        for product in products:
            if self.names.get(product.id) != product.name:
                raise FormatError(f"id {product.id!r} is not {product.name!r} in the catalog")
        if source_id not in {product.id for product in products}:
            raise FormatError("does not name its source product")

    def _descriptions(self, part: int) -> Iterator[Example]:
        texts = [(row.product_id, "description", row.text, row.rejected) for row in self._read(Description, part)]
        texts += [
            (row.product_id, f"variant-{row.number}", row.text, row.rejected) for row in self._read(Variant, part)
        ]
        for product_id, kind, text, rejected in texts:
            if rejected is None:
                completion = render_identity(Reference(product_id, self.names[product_id]))
                prompt = identify_messages(text)[-1]["content"]
                example_id = f"{product_id}#{kind}"
                yield _example(example_id, "description", product_id, "", prompt, completion, [product_id])

    def _read(self, record: Any, part: int) -> Iterator[Any]:
        stage = {Description: "describe", Variant: "paraphrase"}[record]
        return self.inputs.part(stage, record, part)

    def _held_questions(self, held_products: set[str]) -> set[str]:
        """A share of the answered questions, from products that keep enough of them for their coverage."""
        answered: list[str] = []
        spare: list[str] = []
        for part in self.inputs.part_numbers("answer"):
            by_product: dict[str, list[str]] = {}
            for row in self.inputs.part("answer", Answer, part):
                if row.rejected is None and row.product_id not in held_products:
                    by_product.setdefault(row.product_id, []).append(row.question_id)
            for ids in by_product.values():
                answered += ids
                spare += by_hash(ids, "question")[: max(0, len(ids) - self.coverage.min_examples)]
        wanted = how_many(len(answered), self.config.hold_out_questions)
        return set(by_hash(spare or answered, "question")[:wanted])

    def _write(self, example: Example, file: TextIO) -> None:
        if example.rejected is not None:
            self.rejects[_kind(example.rejected)] += 1
            return
        self.splits[f"{example.split}/{example.kind}"] += 1
        if example.split == TRAIN and example.kind == "answer":
            self.references.update(reference for reference in example.references if reference)
        file.write(json.dumps(chat(example), ensure_ascii=False) + "\n")

    def _account(self, outputs: Outputs, ledgers: dict[str, _Ledger], held_products: set[str]) -> None:
        rows = []
        for product_id, name in self.names.items():
            ledger, held = ledgers.get(product_id, _Ledger()), product_id in held_products
            short = not held and ledger.examples < self.coverage.min_examples
            rows.append(
                Coverage(
                    product_id,
                    name,
                    ledger.questions,
                    ledger.examples,
                    self.references[product_id],
                    held,
                    short,
                    dict(sorted(ledger.reasons.items())),
                )
            )
        outputs.part(Coverage, 0, rows, "coverage")
        outputs.figures.update(
            examples=dict(sorted(self.splits.items())),
            rejected=dict(sorted(self.rejects.items())),
            products=len(rows),
            held_out_products=len(held_products),
            short=sum(row.short for row in rows),
            min_examples=self.coverage.min_examples,
            products_recommended=len(self.references),
        )


def chat(example: Example) -> dict[str, Any]:
    """One line of the JSONL training set."""
    return {
        "messages": [
            {"role": "user", "content": example.prompt},
            {"role": "assistant", "content": example.completion},
        ],
        "id": example.id,
        "kind": example.kind,
        "split": example.split,
        "product_id": example.product_id,
        "references": example.references,
    }


def prompt_of(example: Example) -> Messages:
    """The messages that an example's completion answers."""
    return ({"role": "user", "content": example.prompt},)


def by_hash(ids: Iterable[str], salt: str) -> list[str]:
    """The ids in the order of a hash, which a new id hardly changes."""
    return sorted(ids, key=lambda each: unit_hash("hold out", salt, each))


def how_many(count: int, share: float) -> int:
    """This share of a number, rounded; at least 1 where there are enough to spare one."""
    return max(round(share * count), 1 if share > 0 and count >= _ENOUGH else 0)


def _example(
    example_id: str, kind: str, product_id: str, question_id: str, prompt: str, completion: str, references: list[str]
) -> Example:
    key = content_key([example_id, kind, prompt, completion])
    return Example(example_id, kind, "", product_id, question_id, prompt, completion, references, None, key)


def _rejected(question: Question, reason: str) -> Example:
    key = content_key([question.id, reason])
    return Example(question.id, "answer", "", question.product_id, question.id, question.text, "", [], reason, key)


def _with_split(example: Example, split: str) -> Example:
    return replace(example, split=split)


def _kind(reason: str) -> str:
    """A reason without the words that belong to one example only."""
    return reason.split("'")[0].split('"')[0].strip(" ,")
