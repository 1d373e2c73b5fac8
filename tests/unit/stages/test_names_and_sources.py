"""Which products a name was written for, from the recommendations to the links: found once, judged, and in the key."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skutune import linking
from skutune.config.load import parse_config
from skutune.engines.scripted.encoder import ScriptedEncoder
from skutune.linking import Linker
from skutune.linking.calibration import prior
from skutune.linking.fit import build_linker
from skutune.linking.vectors.classifier import Projection
from skutune.linking.vectors.cosine_scale import CosineScale
from skutune.pipeline.manifests import Manifest, Stats
from skutune.pipeline.stage_io import Inputs, Outputs
from skutune.records import Answer, Candidate, Expansion, Link, Name, Product, Question, Recommendation, Source
from skutune.stages.answer import Answers
from skutune.stages.base import Context, WorkItem
from skutune.stages.distinct import Distinct
from skutune.stages.link import Links
from skutune.store.local import LocalStore
from skutune.training.checkpoint_store import Checkpoints

PRODUCTS = [Product(str(at), name, {}, "") for at, name in enumerate(("Baked Beans", "Green Beans", "Rose Soap"))]


def recommendation(product_id: str, number: int, *names: str, rejected: str | None = None) -> Recommendation:
    return Recommendation(f"{product_id}/{number}", product_id, list(names), 0, 1, rejected, "k")


class Shop:
    """A store in which stages leave their outputs for the next."""

    def __init__(self, folder: Path) -> None:
        self.store, self.scratch = LocalStore(folder / "store"), folder / "scratch"
        self.manifests: dict[str, Manifest] = {}

    def outputs(self, stage: str) -> Outputs:
        return Outputs(self.store, f"run/{stage}/f")

    def done(self, stage: str, outputs: Outputs) -> None:
        self.manifests[stage] = Manifest(stage, "f", 1, tuple(outputs.entries), Stats(), {}, {})

    def wrote(self, stage: str, record: type, rows: list[Any]) -> None:
        outputs = self.outputs(stage)
        outputs.part(record, 0, rows)
        self.done(stage, outputs)

    def context(self, **settings: Any) -> Context:
        models = {role: {"name": "scripted"} for role in ("generator", "encoder", "base")}
        document = {"run": "run", "catalog": {"source": "products.csv"}, "models": models, "stages": {"link": settings}}
        config = parse_config(document, "test")
        folders = {stage: f"run/{stage}/f" for stage in self.manifests}
        inputs = Inputs(self.store, folders, self.manifests, self.scratch)
        checkpoints = Checkpoints(self.store, "run/link/f")
        return Context(
            config, inputs, {}, self.scratch, _none, ScriptedEncoder, _none, _none, checkpoints, _none, _none
        )


def _none() -> Any:
    raise AssertionError("neither stage needs this")


def distinct(folder: Path, rows: Sequence[Recommendation]) -> dict[str, Name]:
    """The names of recommendations, by their normalised form."""
    shop = Shop(folder)
    shop.wrote("recommend", Recommendation, list(rows))
    outputs = shop.outputs("distinct")
    Distinct(shop.context()).run(outputs)
    shop.done("distinct", outputs)
    return {name.normalised: name for name in shop.context().inputs.rows("distinct", Name)}


@pytest.fixture(scope="module")
def linker() -> Linker:
    encoder, identity = ScriptedEncoder(), Projection(None)
    vectors = encoder.encode([product.name for product in PRODUCTS])
    rows = np.arange(len(PRODUCTS))
    ruler = CosineScale.measure(encoder, identity)
    return build_linker(PRODUCTS, vectors, vectors, rows, identity, ruler, prior(len(PRODUCTS)))


@pytest.fixture
def shop(tmp_path: Path, linker: Linker) -> Shop:
    made = Shop(tmp_path)
    linking.save_linker(linker, tmp_path / "linker")
    outputs = made.outputs("classify")
    outputs.folder("linker", tmp_path / "linker")
    made.done("classify", outputs)
    made.wrote("expand", Expansion, [])
    return made


def links(shop: Shop, *names: Name, **settings: Any) -> list[Link]:
    shop.wrote("distinct", Name, list(names))
    stage = Links(shop.context(**settings))
    return [row for made in stage.rows(stage.items(0)) for row in made.rows]


def key_of(shop: Shop, name: Name) -> str:
    shop.wrote("distinct", Name, [name])
    (item,) = Links(shop.context()).items(0)
    return item.key


def test_a_name_has_each_product_that_it_was_written_for_once(tmp_path: Path) -> None:
    names = distinct(
        tmp_path,
        [
            recommendation("7", 1, "Beans", "Slaw"),
            recommendation("7", 2, "beans"),
            recommendation("10", 1, "Slaw", "Beans"),
            recommendation("8", 1, "BEANS."),
            recommendation("7", 3, "Beans"),
            recommendation("9", 1, "Beans", rejected="not JSON"),
        ],
    )
    assert (names["beans"].sources, names["beans"].count, names["beans"].text) == (["7", "8"], 5, "Beans")
    assert names["slaw"].sources == ["10"]


def test_a_name_that_was_only_given_beside_others_was_written_for_no_product(tmp_path: Path) -> None:
    named_second = Recommendation("7/1", "7", ["Beans", "Slaw"], 1, 1, None, "k")
    names = distinct(tmp_path, [named_second])
    assert (names["beans"].sources, names["slaw"].sources) == ([], ["7"])


def test_a_link_judges_the_products_that_its_name_was_written_for(shop: Shop) -> None:
    own, none = links(shop, Name("baked beans", "Baked Beans", 3, ["0", "2"], "k"), Name("soap", "Soap", 1, [], "k"))
    assert [(source.id, source.name, source.accepted) for source in own.sources] == [
        ("0", "Baked Beans", True),
        ("2", "Rose Soap", False),
    ]
    assert [candidate.id for candidate in own.candidates] == ["0"]
    assert none.sources == []


def test_sources_change_nothing_about_the_candidates(shop: Shop) -> None:
    (without,) = links(shop, Name("beans", "Beans", 1, [], "k"), precision=0.1)
    (with_all,) = links(shop, Name("beans", "Beans", 1, ["0", "1", "2"], "k"), precision=0.1)
    assert (with_all.candidates, with_all.best_p) == (without.candidates, without.best_p)
    assert [source.id for source in with_all.sources] == ["0", "1", "2"]


def test_another_source_is_another_key_and_another_count_is_not(shop: Shop) -> None:
    key = key_of(shop, Name("beans", "Beans", 1, ["0"], "k"))
    assert key_of(shop, Name("beans", "Beans", 9, ["0"], "other")) == key
    assert key_of(shop, Name("beans", "Beans", 1, ["0", "1"], "k")) != key
    assert key_of(shop, Name("beans", "Beans", 1, [], "k")) != key


def answer_item(folder: Path, *product_ids: str) -> tuple[Answers, WorkItem]:
    """The answer stage, and its item for one question whose name links to the first product and is accepted."""
    shop = Shop(folder)
    shop.wrote("question", Question, [Question("0/1", "0", 1, "meal", "What suits toast?", 1, None, "k")])
    shop.wrote("recommend", Recommendation, [recommendation("0", 1, "Beans", "Soap")])
    sources = [Source("0", "Baked Beans", 0.9, True)]
    candidates = [Candidate(each, f"Soap {each}", 0.9) for each in product_ids]
    rows = [Link("beans", "Beans", [], 0.9, sources, "k"), Link("soap", "Soap", candidates, 0.9, [], "k")]
    shop.wrote("link", Link, rows)
    stage = Answers(shop.context())
    (item,) = stage.items(0)
    return stage, item


def test_an_answer_is_reused_when_only_its_products_change_and_gets_the_new_ones(tmp_path: Path) -> None:
    _, before = answer_item(tmp_path / "before", "2")
    stage, after = answer_item(tmp_path / "after", "7")
    assert after.key == before.key, "the prompt holds names only"
    products = dict(zip(before.content.names, before.content.products, strict=True))
    assert products == {"Beans": "0", "Soap": "2"}
    names = before.content.names
    old = Answer("0/1", "0", names, before.content.products, "in", ["a", "b"], "out", 1, None, before.key)
    (row,) = stage.refresh(after, [old])
    assert dict(zip(row.names, row.products, strict=True)) == {"Beans": "0", "Soap": "7"}
    assert row.paragraphs == ["a", "b"]


def test_a_question_whose_source_product_is_not_accepted_is_rejected_without_an_llm(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.wrote("question", Question, [Question("0/1", "0", 1, "meal", "What suits toast?", 1, None, "k")])
    shop.wrote("recommend", Recommendation, [recommendation("0", 1, "Beans")])
    shop.wrote("link", Link, [Link("beans", "Beans", [], 0.1, [Source("0", "Baked Beans", 0.1, False)], "k")])
    (item,) = Answers(shop.context()).items(0)
    assert item.prompt is None
    assert str(item.rejected).startswith("link: ")
