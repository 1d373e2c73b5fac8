"""The provenance of an example: the chain of rows behind it, or all rows of one product."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from skutune.errors import InputError
from skutune.hashing import bucket_hash
from skutune.pipeline import runs
from skutune.pipeline.runs import RunInfo
from skutune.pipeline.stage_io import Inputs
from skutune.records import (
    Answer,
    Coverage,
    Description,
    Example,
    Expansion,
    Link,
    Product,
    Question,
    Recommendation,
    Variant,
)
from skutune.serving.finished_run import stage_inputs
from skutune.store.base import ObjectStore
from skutune.text import normalise_name

_BY_PRODUCT: dict[str, tuple[str, type]] = {
    "description": ("describe", Description),
    "variants": ("paraphrase", Variant),
    "questions": ("question", Question),
    "recommendations": ("recommend", Recommendation),
    "answers": ("answer", Answer),
    "examples": ("compose", Example),
}
_BY_QUESTION = ("questions", "recommendations", "answers", "examples")


def explain_product(store: ObjectStore, info: RunInfo, product_id: str) -> dict[str, Any]:
    """All rows derived from a product, of all completed stages. Raises InputError for an unknown product."""
    with _open_outputs(store, info) as (inputs, buckets):
        part = bucket_hash(product_id) % buckets
        product = _product(inputs, part, product_id, info)
        chain: dict[str, Any] = {"product": asdict(product)}
        for title, (stage, record) in _BY_PRODUCT.items():
            if stage in inputs.manifests:
                chain[title] = [
                    _row_fields(row) for row in inputs.part(stage, record, part) if row.product_id == product_id
                ]
        if "compose" in inputs.manifests:
            ledger = inputs.rows("compose", Coverage, "coverage")
            chain["coverage"] = [asdict(row) for row in ledger if row.product_id == product_id]
        return chain


def explain_example(store: ObjectStore, info: RunInfo, example_id: str) -> dict[str, Any]:
    """The chain behind one example: product, question, recommendation, links, answer. Raises InputError."""
    with _open_outputs(store, info) as (inputs, buckets):
        if "compose" not in inputs.manifests:
            raise InputError(f"run {info.run!r} has not composed its examples yet; `skutune status` shows its progress")
        part, example = _example(inputs, buckets, example_id, info)
        chain: dict[str, Any] = {"product": asdict(_product(inputs, part, example.product_id, info))}
        if example.question_id:
            names: list[str] = []
            for title in _BY_QUESTION[:-1]:
                stage, record = _BY_PRODUCT[title]
                for row in inputs.part(stage, record, part):
                    if (row.id if title == "questions" else row.question_id) == example.question_id:
                        chain[title] = [_row_fields(row)]
                        names = row.names if title == "recommendations" else names
            chain["links"] = [_link(inputs, buckets, name, example.product_id) for name in names]
        else:
            texts = {"description": ("describe", Description), "variants": ("paraphrase", Variant)}
            for title, (stage, record) in texts.items():
                chain[title] = [
                    _row_fields(row) for row in inputs.part(stage, record, part) if row.product_id == example.product_id
                ]
        chain["examples"] = [_row_fields(example)]
        return chain


def render(chain: dict[str, Any]) -> str:
    """Render a chain as indented text."""
    lines: list[str] = []
    for title, value in chain.items():
        lines.append(title)
        for row in value if isinstance(value, list) else [value]:
            lines += [f"    {name}: {_one_line(field)}" for name, field in row.items()]
            lines.append("")
    return "\n".join(lines).rstrip()


class _open_outputs:  # noqa: N801 - used as a function
    """Context of the available stage outputs and the number of buckets; removes downloaded files at the end."""

    def __init__(self, store: ObjectStore, info: RunInfo) -> None:
        self.store, self.info = store, info

    def __enter__(self) -> tuple[Inputs, int]:
        self.scratch = tempfile.TemporaryDirectory(prefix="skutune-")
        runs.stage_output(self.store, self.info, "ingest")
        completed = list(self.info.stages or {})
        return stage_inputs(self.store, self.info, completed, Path(self.scratch.name)), self.info.buckets or 1

    def __exit__(self, *_: object) -> None:
        self.scratch.cleanup()


def _product(inputs: Inputs, part: int, product_id: str, info: RunInfo) -> Product:
    for product in inputs.part("ingest", Product, part):
        if product.id == product_id:
            return product
    raise InputError(f"run {info.run!r} has no product with the id {product_id!r}")


def _example(inputs: Inputs, buckets: int, example_id: str, info: RunInfo) -> tuple[int, Example]:
    """Find the example `<product id>/<number>` or `<product id>#<text>`; product ids may contain `/` and `#` too."""
    for product_id in _prefixes(example_id):
        part = bucket_hash(product_id) % buckets
        for example in inputs.part("compose", Example, part):
            if example.id == example_id:
                return part, example
    raise InputError(
        f"run {info.run!r} has no example {example_id!r}; ids look like 32717/1 or 32717#description, and "
        "`skutune explain --product ID` lists a product's"
    )


def _prefixes(example_id: str) -> Iterator[str]:
    for index in range(len(example_id) - 1, 0, -1):
        if example_id[index] in "/#":
            yield example_id[:index]


def _link(inputs: Inputs, buckets: int, name: str, source_id: str) -> dict[str, Any]:
    """A name's link, its expansion and, if it was recommended for the source product, the score of that product."""
    normalised = normalise_name(name)
    part = bucket_hash(normalised) % buckets
    row: dict[str, Any] = {"name": name}
    for expansion in inputs.part("expand", Expansion, part):
        if expansion.normalised == normalised:
            row["expansion"] = expansion.text
    for link in inputs.part("link", Link, part):
        if link.normalised == normalised:
            row |= {"candidates": [asdict(candidate) for candidate in link.candidates], "best_p": link.best_p}
            matching = [asdict(source) for source in link.sources if source.id == source_id]
            row |= {"source": matching[0]} if matching else {}
    return row


def _row_fields(row: Any) -> dict[str, Any]:
    return {name: value for name, value in asdict(row).items() if name != "key"}


def _one_line(value: Any) -> str:
    text = value if isinstance(value, str) else str(value)
    return text.replace("\n", "\n        ")
