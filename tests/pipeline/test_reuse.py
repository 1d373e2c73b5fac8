"""A changed setting or catalog reruns only the dependent stages, and only for the affected rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scripted_run import Pipeline

from skutune.pipeline import graph, runs
from skutune.records import Answer
from skutune.serving.finished_run import stage_inputs
from skutune.store import open_store

UP_TO_COMPOSE = [stage.name for stage in graph.selected("compose")]


@pytest.mark.parametrize(
    ("path", "value", "changed"),
    [
        ("stages__describe__max_sentences", 3, "describe"),
        ("stages__paraphrase__variants", 3, "paraphrase"),
        ("models__encoder__max_tokens", 64, "embed"),
        ("stages__question__per_product", 5, "question"),
        ("stages__recommend__max_items", 4, "recommend"),
        ("stages__link__precision", 0.8, "link"),
        ("stages__answer__attempts", 2, "answer"),
        ("coverage__min_examples", 3, "compose"),
        ("models__generator__batch_size", 7, None),
    ],
)
def test_a_changed_setting_reruns_dependent_stages(
    pipeline: Pipeline, path: str, value: object, changed: str | None
) -> None:
    assert pipeline.run()[0] == 0
    pipeline.write(**{path: value})
    code, stderr = pipeline.run()
    assert code == 0, stderr
    worked = {
        event["stage"] for event in _events(stderr) if event["event"] == "stage_finished" and not event["resumed"]
    }
    allowed = graph.downstream([changed]) if changed else set()
    assert worked <= allowed
    assert changed is None or changed in worked


def test_reverting_a_setting_reuses_the_earlier_outputs(pipeline: Pipeline) -> None:
    assert pipeline.run()[0] == 0
    first = pipeline.tables()
    pipeline.write(stages__question__per_product=5)
    assert pipeline.run()[0] == 0
    assert pipeline.tables() != first
    pipeline.write()
    code, stderr = pipeline.run()
    assert code == 0
    assert '"resumed": false' not in stderr
    assert pipeline.tables() == first


def test_a_changed_product_regenerates_only_its_own_rows(pipeline: Pipeline) -> None:
    assert pipeline.run()[0] == 0
    catalog = pipeline.folder / "grocery.csv"
    catalog.write_text(catalog.read_text().replace("Iced Tea", "Sweet Iced Tea"))
    code, stderr = pipeline.run("--until", "recommend")
    assert code == 0, stderr
    for event in _events(stderr):
        if event["event"] == "stage_finished" and event["stage"] in ("describe", "question", "paraphrase"):
            assert not event["resumed"]
            generated = event["items"] - event["reused"]
            assert generated == {"describe": 1, "paraphrase": 2, "question": 1}[event["stage"]], event


def test_a_reused_answer_recommends_the_products_that_its_names_link_to_now(pipeline: Pipeline, tmp_path: Path) -> None:
    """Another id for a product changes no prompt of an answer that recommends it, only the id that it gets."""
    assert pipeline.run("--until", "answer")[0] == 0
    before = _answers(pipeline, tmp_path / "before")
    old, new = "25407", "99999"
    recommending = [row for row in before.values() if old in row.products and row.product_id != old]
    assert recommending
    catalog = pipeline.folder / "grocery.csv"
    catalog.write_text(catalog.read_text().replace(f"{old},", f"{new},"))
    code, stderr = pipeline.run("--until", "answer")
    assert code == 0, stderr
    after = _answers(pipeline, tmp_path / "after")
    for row in recommending:
        same = after[row.question_id]
        assert (same.key, same.introduction, same.paragraphs) == (row.key, row.introduction, row.paragraphs)
        assert same.products == [new if each == old else each for each in row.products]


def test_an_additional_variant_keeps_the_existing_ones(pipeline: Pipeline) -> None:
    assert pipeline.run("--until", "paraphrase")[0] == 0
    pipeline.write(stages__paraphrase__variants=3)
    _, stderr = pipeline.run("--until", "paraphrase")
    finished = next(e for e in _events(stderr) if e["event"] == "stage_finished" and e["stage"] == "paraphrase")
    assert finished["rows"] == 48
    assert finished["reused"] == 32


def test_a_run_reuses_rows_and_buckets_of_its_base(pipeline: Pipeline) -> None:
    assert pipeline.run()[0] == 0
    pipeline.write(catalog__buckets=None)
    code, stderr = pipeline.run("--run", "next", "--base", "sample")
    assert code == 0, stderr
    store = open_store(pipeline.store)
    assert runs.require_run(store, "next").buckets == 6
    finished = {e["stage"]: e for e in _events(stderr) if e["event"] == "stage_finished"}
    for stage in ("describe", "paraphrase", "embed", "question", "recommend", "expand", "answer"):
        assert finished[stage]["completion_tokens"] == 0, stage
    assert pipeline.tables("next")["compose"][1:] == pipeline.tables()["compose"][1:]


def test_an_unknown_base_is_rejected_with_the_existing_runs(pipeline: Pipeline) -> None:
    assert pipeline.run("--until", "ingest")[0] == 0
    code, stderr = pipeline.run("--run", "next", "--base", "nothing")
    assert code == 10
    assert "existing runs: sample" in stderr


def test_starting_at_a_stage_requires_its_dependencies(pipeline: Pipeline) -> None:
    code, stderr = pipeline.run("--from", "question")
    assert code == 10
    assert "ingest" in stderr
    assert pipeline.run("--until", "recommend")[0] == 0
    assert pipeline.run("--from", "distinct")[0] == 0


def _answers(pipeline: Pipeline, scratch: Path) -> dict[str, Answer]:
    """The accepted answers by question."""
    store = open_store(pipeline.store)
    tables = stage_inputs(store, runs.require_run(store, "sample"), ("answer",), scratch)
    return {row.question_id: row for row in tables.rows("answer", Answer) if row.rejected is None}


def _events(stderr: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in stderr.splitlines() if line.startswith("{")]
