"""Held-out products and questions never reach the training set."""

from __future__ import annotations

import json

import pytest
from scripted_run import Pipeline

from skutune.pipeline import runs
from skutune.records import Coverage, Example, Product
from skutune.serving.finished_run import stage_inputs
from skutune.stages.compose import HELD_OUT_PRODUCT, HELD_OUT_QUESTION, TRAIN, how_many
from skutune.store import open_store


@pytest.fixture(scope="module")
def examples(undisturbed: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> list[Example]:
    store = open_store(undisturbed.store)
    scratch = tmp_path_factory.mktemp("scratch")
    tables = stage_inputs(store, runs.require_run(store, "sample"), ("ingest", "compose"), scratch)
    products = list(tables.rows("ingest", Product))
    held_out = [row.product_id for row in tables.rows("compose", Coverage, "coverage") if row.held_out]
    assert len(held_out) == how_many(len(products), 0.05) == 1
    found = list(tables.rows("compose", Example))
    assert {row.product_id for row in found if row.split == HELD_OUT_PRODUCT} == set(held_out)
    return found


def test_a_held_out_product_has_no_training_example_of_any_kind(examples: list[Example]) -> None:
    trained = {row.product_id for row in examples if row.split == TRAIN}
    held_out = {row.product_id for row in examples if row.split == HELD_OUT_PRODUCT}
    assert trained
    assert not trained & held_out


def test_a_held_out_question_is_about_a_trained_product(examples: list[Example]) -> None:
    trained = {row.product_id for row in examples if row.split == TRAIN}
    questions = [row for row in examples if row.split == HELD_OUT_QUESTION]
    assert questions
    assert {row.product_id for row in questions} <= trained
    assert {row.kind for row in questions} == {"answer"}


@pytest.mark.parametrize(("file", "is_training"), [("train.jsonl", True), ("validation.jsonl", False)])
def test_each_file_has_the_accepted_examples_of_its_split(
    file: str, is_training: bool, examples: list[Example], undisturbed: Pipeline
) -> None:
    lines = [json.loads(line) for line in undisturbed.stage_file("compose", file).decode().splitlines()]
    expected = {row.id for row in examples if row.rejected is None and (row.split == TRAIN) == is_training}
    assert {line["id"] for line in lines} == expected
    assert expected
