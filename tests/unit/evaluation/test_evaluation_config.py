"""What a config asks of an evaluation decides which models it needs and when it is made again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from byte_model import save_base

from skutune.config.load import load_config, parse_config
from skutune.config.schema import Config
from skutune.decoding.automaton import START, build_automaton
from skutune.engines.pool import ModelPool
from skutune.errors import InputError
from skutune.evaluation.judge import read_labels
from skutune.local.runner import Options, run_pipeline
from skutune.pipeline import graph
from skutune.pipeline.user_files import labels_digest
from skutune.samples import verdicts, write_sample
from skutune.store.local import LocalStore

SCRIPTED = {"name": "none", "engine": "scripted"}


def config(tmp_path: Path, models: dict[str, Any] | None = None, **evaluate: Any) -> Config:
    write_sample(tmp_path / "grocery.csv", 4)
    columns = {"id": "product_id", "name": "product_name"}
    document = {
        "run": "sample",
        "store": str(tmp_path / "runs"),
        "catalog": {"source": str(tmp_path / "grocery.csv"), "columns": columns},
        "models": {"generator": SCRIPTED, "encoder": SCRIPTED, "base": {"name": "./base"}, **(models or {})},
        "stages": {"evaluate": evaluate},
    }
    return parse_config(document, "test")


@pytest.mark.parametrize(
    ("evaluate", "roles"),
    [
        ({}, ("base", "encoder", "generator")),
        ({"systems": ["tuned", "retrieval"], "judge": {"model": "none"}}, ("base",)),
        ({"systems": ["retrieval"], "retrieval": "encoder", "judge": {"model": "none"}}, ("base", "encoder")),
        ({"systems": ["tuned-linked"], "judge": {"model": "none"}}, ("base", "encoder")),
        ({"systems": ["tuned"], "judge": {"model": "judge"}}, ("base", "judge")),
    ],
)
def test_only_models_that_are_used_are_asked_for(tmp_path: Path, evaluate: dict[str, Any], roles: tuple[str]) -> None:
    judge = {"judge": SCRIPTED} if "judge" in roles else {}
    assert graph.models_of(graph.stage("evaluate"), config(tmp_path, judge, **evaluate)) == roles


def test_a_judge_of_its_own_must_be_named(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        config(tmp_path, judge={"model": "judge"})
    assert "models.judge" in str(caught.value.problems)


def test_a_judge_takes_the_generators_place_in_memory_one_at_a_time(tmp_path: Path) -> None:
    pool = ModelPool(config(tmp_path, {"judge": {"name": "none", "engine": "scripted"}}).models, tmp_path)
    assert pool.identity("judge") == pool.identity("generator")
    with pytest.raises(InputError, match=r"models\.judge"):
        ModelPool(config(tmp_path).models, tmp_path).text_engine(list, "judge")


def test_a_judge_named_for_vllm_runs_with_transformers_where_there_is_no_vllm(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skutune.engines._is_installed", lambda module: module != "vllm")
    folder = save_base(tmp_path / "judge")
    models = {"generator": {"name": str(folder), "engine": "vllm", "context": 512, "dtype": "float32"}}
    pool = ModelPool(config(tmp_path, models).models, tmp_path)
    pool.check_judge("generator")
    engine = pool.judge(list, "generator")
    assert type(engine).__name__ == "TransformersEngine"
    assert "vLLM is not installed; running the judge with transformers" in caplog.text
    pool.close()
    with pytest.raises(InputError, match=r"skutune\[vllm\]"):  # who generates keeps to what was named
        pool.text_engine(list)


def test_a_system_named_twice_is_asked_once(tmp_path: Path) -> None:
    assert config(tmp_path, systems=["tuned", "base", "tuned"]).stages.evaluate.systems == ("tuned", "base")


def test_the_fewest_tokens_that_may_be_set_hold_an_answer(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        config(tmp_path, max_tokens=47)
    assert "stages.evaluate.max_tokens" in str(caught.value.problems)
    least = config(tmp_path, max_tokens=48).stages.evaluate.max_tokens
    assert build_automaton(frozenset(range(256))).cost[START] <= least


def test_other_verdicts_in_the_same_file_make_the_evaluation_again(tmp_path: Path) -> None:
    labels = tmp_path / "labels.jsonl"
    named = config(tmp_path, judge={"labels": str(labels)})
    labels.write_text(json.dumps({"question": "a", "product": "b", "verdict": "yes"}))
    first = labels_digest(named)
    labels.write_text(json.dumps({"question": "a", "product": "b", "verdict": "no"}))
    assert labels_digest(named) != first != ""
    assert labels_digest(config(tmp_path)) == ""


def test_verdicts_lie_beside_the_config_that_names_them(tmp_path: Path) -> None:
    document = json.loads(config(tmp_path, judge={"labels": "labels.jsonl"}).model_dump_json())
    (tmp_path / "config.yaml").write_text(json.dumps(document))
    loaded = load_config(tmp_path / "config.yaml")
    assert loaded.stages.evaluate.judge.labels == str(tmp_path / "labels.jsonl")


def test_missing_verdicts_are_told_before_any_model_works(tmp_path: Path) -> None:
    class Watching:
        def __init__(self) -> None:
            self.started: list[str] = []

        def stage_started(self, stage: graph.Stage, parts: int) -> None:
            self.started.append(stage.name)

        def progressed(self, *_: Any) -> None: ...
        def stage_finished(self, *_: Any) -> None: ...

    watching = Watching()
    missing = config(tmp_path, judge={"labels": str(tmp_path / "missing.jsonl")})
    with pytest.raises(InputError, match=r"labels .*missing\.jsonl: no such file"):
        run_pipeline(missing, LocalStore(tmp_path / "runs"), tmp_path, watching, Options(until="describe"))
    assert watching.started == ["ingest"]


def test_the_samples_verdicts_are_about_the_samples_products(tmp_path: Path) -> None:
    (tmp_path / "verdicts.jsonl").write_text(verdicts())
    write_sample(tmp_path / "grocery.csv")
    names = {line.split(",")[1] for line in (tmp_path / "grocery.csv").read_text().splitlines()[1:]}
    found = read_labels(tmp_path / "verdicts.jsonl")
    assert {product for _, product in found} <= names
    assert sum(found.values()) * 2 == len(found) == 24
