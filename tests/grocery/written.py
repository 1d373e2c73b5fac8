"""What a small LLM wrote about a sample of 500 products, kept as data: no test or benchmark waits for it again.

    python -m tests.grocery.written        # writes written.jsonl and meant.json anew: some ten minutes on two cores

The sample holds 300 products at random and 200 of those that names hardly tell apart. Each line has the product's id, a
`description`, `variants` of it in other words, a `short` name as a shopper would say it, and the `expansion` of that
short name as the expand stage asks for it. What the pipeline's own rules reject is left out: a product may lack some.
meant.json holds expansions of the labelled names (labels.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from skutune.config.schema import GeneratorConfig
from skutune.engines.base import Request, Sampling, TextEngine
from skutune.prompts.chat_template import Messages
from skutune.prompts.cleaning import clean_prose, rejection_reason
from skutune.prompts.describe import describe
from skutune.prompts.expand import expand
from skutune.prompts.few_shot import chat
from skutune.prompts.paraphrase import paraphrase
from skutune.records import Product
from skutune.text import words
from tests.grocery.catalog import catalog
from tests.grocery.labels import FOLDER
from tests.grocery.lookalikes import prefixes, same_words

FILE = Path(__file__).with_name("written.jsonl")
MEANT = Path(__file__).with_name("meant.json")
VARIANTS = 4
LABELS = ("fit_a.json", "fit_b.json", "test.json")
_SHORT = "You shorten the names of products as people do on a shopping list: two or three plain words, no brand."
_EXAMPLES = (
    ("Organic Unsweetened Vanilla Almond Milk, Half Gallon", "vanilla almond milk"),
    ("Smart Ones Mini Rigatoni With Vodka Cream Sauce", "rigatoni"),
    ("Ultra Strong Mega Roll Bathroom Tissue", "toilet paper"),
    ("Chobani Strawberry Banana Nonfat Greek Yogurt", "greek yogurt"),
)


@dataclass
class Written:
    """The texts of one product; "" where the LLM gave none that can be used."""

    id: str
    description: str = ""
    variants: list[str] = field(default_factory=list)
    short: str = ""
    expansion: str = ""


def load_written() -> list[Written]:
    """The texts of the sample's products, from the file beside this module."""
    return [Written(**json.loads(line)) for line in FILE.read_text(encoding="utf-8").splitlines()]


def load_meant() -> dict[str, str]:
    """What the LLM said that a labelled name means, by name; a name whose answers were rejected is not there."""
    meant: dict[str, str] = json.loads(MEANT.read_text(encoding="utf-8"))
    return meant


def sample() -> list[Product]:
    """The products of the sample, in the order of the catalog."""
    products, generator = catalog(), np.random.default_rng(0)
    alike = np.flatnonzero(prefixes(products) | same_words(products))
    chosen = set(generator.choice(len(products), 300, replace=False).tolist())
    for place in generator.permutation(alike).tolist():
        if len(chosen) == 500:
            break
        chosen.add(place)
    return [products[place] for place in sorted(chosen)]


def write(engine: TextEngine, products: Sequence[Product]) -> Iterator[Written]:
    """Have the LLM write all texts: descriptions, then variants of them, short names, then what these stand for."""
    texts = {product.id: Written(product.id) for product in products}
    told = {product.id: describe(product, 2, 3) for product in products}
    for product_id, text in _prose(engine, told, 120):
        texts[product_id].description = text
    reworded = {
        f"{product.id}/{number}": paraphrase(product, texts[product.id].description, number)
        for product in products
        for number in range(1, VARIANTS + 1)
        if texts[product.id].description
    }
    for key, text in sorted(_prose(engine, reworded, 100)):
        texts[key.partition("/")[0]].variants.append(text)
    shortened = {product.id: chat(_SHORT, _EXAMPLES, product.name) for product in products}
    for product_id, text in _asked(engine, shortened, 10):
        texts[product_id].short = " ".join(words(text)[:4])
    expanded = {one.id: expand(one.short) for one in texts.values() if one.short}
    for product_id, text in _prose(engine, expanded, 80):
        texts[product_id].expansion = text
    yield from texts.values()


def _prose(engine: TextEngine, messages: dict[str, Messages], limit: int) -> Iterator[tuple[str, str]]:
    for key, text in _asked(engine, messages, limit):
        cleaned = clean_prose(text, cut=True, max_sentences=3)
        if rejection_reason(cleaned) is None:
            yield key, cleaned


def _asked(engine: TextEngine, messages: dict[str, Messages], limit: int) -> Iterator[tuple[str, str]]:
    sampling = Sampling(temperature=0.7, top_p=0.95, max_tokens=limit)
    for result in engine.generate(Request(key, asked, sampling) for key, asked in messages.items()):
        yield result.id, result.text


def main() -> None:
    """Write both files anew."""
    from skutune.engines.transformers.engine import TransformersEngine
    from skutune.samples.models import prepare_generator

    folder = prepare_generator(Path.home() / ".cache" / "skutune")
    engine = TransformersEngine(folder, GeneratorConfig(name=str(folder)))
    lines = [json.dumps(asdict(one), ensure_ascii=False) for one in write(engine, sample())]
    FILE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    names = [entry["name"] for file in LABELS for entry in json.loads((FOLDER / file).read_text(encoding="utf-8"))]
    meant = dict(sorted(_prose(engine, {name: expand(name) for name in names}, 80)))
    MEANT.write_text(json.dumps(meant, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
