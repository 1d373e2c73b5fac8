"""The product that a name was written for, followed through a whole run."""

from __future__ import annotations

import pytest
from scripted_run import Pipeline

from skutune.pipeline import runs
from skutune.pipeline.stage_io import Inputs
from skutune.records import Example, Link, Recommendation
from skutune.serving.explain import explain_example
from skutune.serving.finished_run import stage_inputs
from skutune.store import open_store
from skutune.text import normalise_name

NOT_ACCEPTED = "link: the linker does not accept"


@pytest.fixture(scope="module")
def tables(undisturbed: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    store = open_store(undisturbed.store)
    stages = ("recommend", "link", "compose")
    return stage_inputs(store, runs.require_run(store, "sample"), stages, tmp_path_factory.mktemp("scratch"))


def test_an_answer_is_composed_where_its_source_was_accepted_and_nowhere_else(tables: Inputs) -> None:
    judged = {
        (link.normalised, source.id): source.accepted for link in tables.rows("link", Link) for source in link.sources
    }
    asked = {row.question_id: row for row in tables.rows("recommend", Recommendation) if row.rejected is None}
    examples = [row for row in tables.rows("compose", Example) if row.question_id in asked]
    assert any(example.rejected is None for example in examples)
    for example in examples:
        recommendation = asked[example.question_id]
        name = normalise_name(recommendation.names[recommendation.source_slot])
        assert judged[name, example.product_id] != (example.rejected or "").startswith(NOT_ACCEPTED)


def test_an_examples_explanation_tells_how_its_source_was_judged(undisturbed: Pipeline, tables: Inputs) -> None:
    example = next(row for row in tables.rows("compose", Example) if row.kind == "answer" and row.rejected is None)
    store = open_store(undisturbed.store)
    chain = explain_example(store, runs.require_run(store, "sample"), example.id)
    (source,) = (link["source"] for link in chain["links"] if "source" in link)
    assert (source["id"], source["accepted"]) == (example.product_id, True)
    assert 0 < source["p"] <= 1
