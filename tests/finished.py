"""A finished run in a local store, written through the same outputs and manifests that the worker uses."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from skutune import records
from skutune.answer_format import AnswerItem, AnswerText, Reference, render
from skutune.config.load import parse_config
from skutune.config.schema import SYSTEMS
from skutune.evaluation.document import FILE, JudgeFigures, document
from skutune.evaluation.parse_answer import parse_loosely
from skutune.hashing import bucket_hash
from skutune.pipeline import manifests
from skutune.pipeline.graph import STAGES
from skutune.pipeline.manifests import Manifest, Stats
from skutune.pipeline.stage_io import Inputs, Outputs
from skutune.stages.base import Context
from skutune.stages.report import Report
from skutune.store.local import LocalStore
from skutune.training.checkpoint_store import Checkpoints

RUN = "grocery"
FINGERPRINT = "0123456789abcdef"
BUCKETS = 2
# Names that a careless page would take for markup.
NAMES = ("Baked Beans", "Coleslaw", "<b>Bold</b> & <script>alert(1)</script> Mustard", "Cornbread", "Kale", "Dill")
COSTS = Stats(seconds=12.5, prompt_tokens=4000, completion_tokens=1500, items=12, reused=3, peak_memory_bytes=812 << 20)


@dataclass
class Rows:
    """The rows of a run. Ids are 101, 102, … in the order of the names."""

    names: tuple[str, ...] = NAMES
    rejects: list[records.Reject] = field(default_factory=list)
    descriptions: list[records.Description] = field(default_factory=list)
    questions: list[records.Question] = field(default_factory=list)
    recommendations: list[records.Recommendation] = field(default_factory=list)
    links: list[tuple[records.Link, int]] = field(default_factory=list)
    examples: list[records.Example] = field(default_factory=list)
    coverage: list[records.Coverage] = field(default_factory=list)
    evaluated: list[records.EvaluatedAnswer] = field(default_factory=list)
    recalled: list[records.RecallResult] = field(default_factory=list)
    judge: JudgeFigures | None = None
    metrics: list[dict[str, Any]] = field(default_factory=list)
    classifier: dict[str, Any] = field(default_factory=dict)
    calibration: dict[str, Any] = field(default_factory=dict)

    def product(self, place: int) -> Reference:
        """The product at this place."""
        return Reference(str(101 + place), self.names[place])


def usual() -> Rows:
    """A small run in which something of everything happens."""
    rows = Rows()
    rows.rejects = [records.Reject(9, "no id", ",Nameless")]
    rows.descriptions = [
        records.Description("101", "Beans in a sweet sauce.", "stop", 1, None, "k1"),
        records.Description("102", "Sure! Here is", "length", 3, "fewer than 2 whole sentences", "k2"),
    ]
    rows.questions = [question(rows, place, number) for place in range(6) for number in (1, 2)]
    rows.questions.append(replace(question(rows, 5, 3), text="What goes with Dill?", rejected="names the product"))
    rows.recommendations = [
        records.Recommendation("106/1", "106", ["Bread"], 0, 3, "the first name, 'Bread', is not the product's", "k")
    ]
    rows.links = [
        (link("Beans", [("101", "Baked Beans", 0.97)]), 6),
        (link("Slaw", [("102", "Coleslaw", 0.93), ("104", "Cornbread", 0.91)]), 3),
        (link("Car battery", [], 0.11), 1),
    ]
    rows.examples = [
        example(rows, 0, 1, "train", (0, 1)),
        example(rows, 1, 1, "train", (1, 2)),
        example(rows, 2, 1, "held_out_question", (2, 0)),
        example(rows, 3, 1, "held_out_product", (3, None)),
        replace(example(rows, 5, 1, "train", (5,)), completion="", rejected="link: no close product for its source"),
        records.Example(
            "101/description",
            "description",
            "train",
            "101",
            "",
            "Which product is this? Beans in a sweet sauce.",
            "Baked Beans: id 101",
            ["101"],
            None,
            "k",
        ),
    ]
    rows.coverage = [
        records.Coverage("101", NAMES[0], 2, 2, 7, False, False, {}),
        records.Coverage("102", NAMES[1], 2, 2, 3, False, False, {}),
        records.Coverage("103", NAMES[2], 2, 1, 1, False, True, {"held out for validation": 1}),
        records.Coverage("104", NAMES[3], 2, 0, 0, True, False, {}),
        records.Coverage("105", NAMES[4], 0, 0, 0, False, True, {}),
        records.Coverage("106", NAMES[5], 3, 0, 0, False, True, {"link: no close product": 2, "question: names it": 1}),
    ]
    rows.evaluated = [
        evaluated(rows, 2, "held_out_question", "base", "Try (closest product: Mustard: id 104)"),
        evaluated(rows, 2, "held_out_question", "tuned", answer(rows, (2, 0))),
        evaluated(rows, 3, "held_out_product", "base", "Anything you like, really."),
        evaluated(rows, 3, "held_out_product", "tuned", answer(rows, (0, None))),
    ]
    rows.recalled = [
        records.RecallResult("101", "train", "tuned", "Baked Beans: id 101", "101", "Baked Beans", True),
        records.RecallResult("104", "held_out_product", "tuned", "Kale: id 105", "105", "Kale", False),
    ]
    rows.judge = JudgeFigures("generator", 3, 2, None)
    rows.metrics = [
        {
            "step": step,
            "epoch": step / 10,
            "loss": 3.0 - step / 5,
            "learning_rate": 1e-4,
            "tokens": 100 * step,
            "tokens_per_second": 80.0,
            "seconds": 2.0 * step,
            "validation_loss": None,
        }
        for step in range(1, 11)
    ] + [{"step": 10, "epoch": 1.0, "loss": None, "tokens": 1000, "seconds": 20.0, "validation_loss": 1.4}]
    rows.classifier = {
        "measured": 400,
        "accuracy_neighbour": 0.81,
        "accuracy_centroid": 0.8,
        "accuracy_trained": 0.875,
        "projection": "trained",
        "why": "training improved held-out accuracy",
        "losses": [0.5] * 20,
    }
    return rows


def question(rows: Rows, place: int, number: int) -> records.Question:
    """A question about a product."""
    product_id = rows.product(place).id
    text = f"What would go well with a chicken fried steak, number {number}?"
    return records.Question(f"{product_id}/{number}", product_id, number, "pairing", text, 1, None, "k")


def answer(rows: Rows, places: tuple[int | None, ...]) -> str:
    """An answer that names these products; None is `no close product`."""
    items = tuple(
        AnswerItem("Side dish", "It is a fine contrast.", None if place is None else rows.product(place))
        for place in places
    )
    return render(AnswerText("These go well together:", items, "Enjoy your meal."))


def example(rows: Rows, place: int, number: int, split: str, places: tuple[int | None, ...]) -> records.Example:
    """A training or validation example."""
    asked = question(rows, place, number)
    references = ["" if each is None else rows.product(each).id for each in places]
    return records.Example(
        asked.id, "answer", split, asked.product_id, asked.id, asked.text, answer(rows, places), references, None, "k"
    )


def evaluated(rows: Rows, place: int, split: str, system: str, text: str, **changes: Any) -> records.EvaluatedAnswer:
    """A system's answer to a held-out question made from a product; a judge finds all but the first product good."""
    asked, catalog = question(rows, place, 1), {rows.product(at).id: name for at, name in enumerate(rows.names)}
    found = parse_loosely(text, catalog)
    row = records.EvaluatedAnswer(
        question_id=asked.id,
        product_id=asked.product_id,
        split=split,
        system=system,
        question=asked.text,
        expected=answer(rows, (place,)),
        answer=text,
        parses=found.parses,
        ids=list(found.ids),
        no_product=found.no_product,
        ids_in_catalog=found.ids_in_catalog,
        names_agree=found.names_agree,
        names_source=asked.product_id in found.ids,
        constraints=[],
        broken=[],
        pairs_with="",
        repeats=False,
        relevant=[each for each in found.ids if each != "101"],
        irrelevant=[each for each in found.ids if each == "101"],
        judged=True,
        tokens=40,
        seconds=0.5,
    )
    return replace(row, **changes)


def coverage_of(rows: Rows, place: int, examples: int) -> records.Coverage:
    """A product's line in the ledger, short of its two questions."""
    product = rows.product(place)
    return records.Coverage(
        product.id, product.name, 2, examples, examples, False, examples < 2, {"answer: not JSON": 1}
    )


def link(name: str, candidates: list[tuple[str, str, float]], best_p: float | None = None) -> records.Link:
    """A link of a name."""
    listed = [records.Candidate(*candidate) for candidate in candidates]
    return records.Link(name.casefold(), name, listed, best_p if best_p is not None else listed[0].p, [], "k")


def report(folder: Path, rows: Rows, **settings: Any) -> Path:
    """Write a run with these rows into a store at `folder`, run the report stage, and return the run's page."""
    folder.mkdir(exist_ok=True)
    store = LocalStore(folder / "store")
    config = parse_config(
        {
            "run": RUN,
            "catalog": {"source": "/home/somebody/products.csv"},
            "models": {
                "generator": {"name": "meta-llama/Llama-3.1-8B-Instruct", "revision": "0e9e39f"},
                "encoder": {"name": "/home/somebody/models/encoder"},
                "base": {"name": "s3://bucket/models/llama"},
            },
            "coverage": {"min_examples": 2},
            **settings,
        },
        "test",
    )
    folders = {name: manifests.stage_folder(RUN, name, FINGERPRINT) for name in STAGES["report"].reads}
    written = {name: _write(store, folders[name], name, rows, folder) for name in folders}
    scratch = folder / "scratch"
    scratch.mkdir(parents=True)
    inputs = Inputs(store, folders, written, scratch)
    own = manifests.stage_folder(RUN, "report", FINGERPRINT)
    context = Context(config, inputs, {}, scratch, *[_none] * 4, Checkpoints(store, own), _none, _none)
    outputs = Outputs(store, own)
    Report(context).run(outputs)
    assert [entry.name for entry in outputs.entries] == ["report.html"]
    page = folder / "store" / RUN / "report.html"
    assert page.read_bytes() == (folder / "store" / own / "report.html").read_bytes()
    return page


def shown(path: Path) -> str:
    """The page's body as text, white space folded."""
    html = path.read_text(encoding="utf-8")
    body = html[html.index("<body>") :]
    return " ".join(re.sub(r"<[^>]+>", " ", body).split()).replace("\N{NO-BREAK SPACE}", " ")


def _write(store: LocalStore, folder: str, stage: str, rows: Rows, scratch: Path) -> Manifest:
    outputs = Outputs(store, folder)
    _STAGES.get(stage, lambda *_: None)(outputs, rows, scratch)
    stats = COSTS if STAGES[stage].models and stage != "classify" else replace(Stats(), seconds=0.4, items=1)
    versions = {"python": "3.11.9", "skutune": "0.1.0"}
    versions |= {f"model {role}": f"sha256:{role}" for role in STAGES[stage].models}
    return Manifest(stage, FINGERPRINT, BUCKETS, tuple(outputs.entries), stats, outputs.figures, versions)


def _bucketed(outputs: Outputs, record: type, rows: list[Any], by: str) -> None:
    for part in range(BUCKETS):
        outputs.part(record, part, [row for row in rows if bucket_hash(getattr(row, by)) % BUCKETS == part])


def _ingest(outputs: Outputs, rows: Rows, _: Path) -> None:
    products = [records.Product(str(101 + place), name, {}, "k") for place, name in enumerate(rows.names)]
    _bucketed(outputs, records.Product, products, "id")
    outputs.part(records.Reject, 0, rows.rejects, "rejects")


def _classify(outputs: Outputs, rows: Rows, _: Path) -> None:
    outputs.figures.update(products=len(rows.names), classifier=rows.classifier, calibration=rows.calibration)


def _links(outputs: Outputs, rows: Rows, _: Path) -> None:
    _bucketed(outputs, records.Link, [link for link, _ in rows.links], "normalised")


def _distinct(outputs: Outputs, rows: Rows, _: Path) -> None:
    names = [records.Name(link.normalised, link.name, count, [], "k") for link, count in rows.links]
    _bucketed(outputs, records.Name, names, "normalised")


def _compose(outputs: Outputs, rows: Rows, _: Path) -> None:
    _bucketed(outputs, records.Example, rows.examples, "product_id")
    outputs.part(records.Coverage, 0, rows.coverage, "coverage")
    counts: dict[str, int] = {}
    for row in rows.examples:
        if row.rejected is None:
            counts[f"{row.split}/{row.kind}"] = counts.get(f"{row.split}/{row.kind}", 0) + 1
    outputs.figures["examples"] = counts


def _finetune(outputs: Outputs, rows: Rows, scratch: Path) -> None:
    path = scratch / "metrics.jsonl"
    path.write_text("".join(json.dumps(point) + "\n" for point in rows.metrics), encoding="utf-8")
    outputs.file("metrics.jsonl", path)
    outputs.figures.update(method="lora", steps=len(rows.metrics), resumed_from_step=None)


def _evaluate(outputs: Outputs, rows: Rows, scratch: Path) -> None:
    outputs.part(records.EvaluatedAnswer, 0, rows.evaluated)
    path = scratch / FILE
    path.write_text(json.dumps(evaluation(rows)), encoding="utf-8")
    outputs.file(FILE, path)
    outputs.figures["loss"] = {"base": 3.21, "tuned": 1.4, "examples": 2, "tokens": 90} if rows.evaluated else None


def evaluation(rows: Rows) -> dict[str, Any]:
    """The evaluation's document of these rows."""
    catalog = {rows.product(place).id: name for place, name in enumerate(rows.names)}
    return document(rows.evaluated, rows.recalled, systems=SYSTEMS, catalog=catalog, retrieval="bm25", judge=rows.judge)


def _none() -> Any:
    raise AssertionError("the report needs no model and no catalog file")


_STAGES = {
    "ingest": _ingest,
    "describe": lambda outputs, rows, _: _bucketed(outputs, records.Description, rows.descriptions, "product_id"),
    "paraphrase": lambda outputs, rows, _: _bucketed(outputs, records.Variant, [], "product_id"),
    "classify": _classify,
    "question": lambda outputs, rows, _: _bucketed(outputs, records.Question, rows.questions, "product_id"),
    "recommend": lambda outputs, rows, _: _bucketed(
        outputs, records.Recommendation, rows.recommendations, "product_id"
    ),
    "distinct": _distinct,
    "expand": lambda outputs, rows, _: _bucketed(outputs, records.Expansion, [], "normalised"),
    "link": _links,
    "answer": lambda outputs, rows, _: _bucketed(outputs, records.Answer, [], "product_id"),
    "compose": _compose,
    "finetune": _finetune,
    "evaluate": _evaluate,
}
