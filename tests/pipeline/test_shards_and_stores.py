"""The tables do not depend on the number of shards or the kind of store."""

from __future__ import annotations

import pytest
from scripted_run import Pipeline
from servers import S3Server


def test_three_shards_produce_the_same_tables_as_one(pipeline: Pipeline, undisturbed: Pipeline) -> None:
    code, stderr = pipeline.run("--parallel", "3")
    assert code == 0, stderr
    assert pipeline.tables() == undisturbed.tables()
    assert pipeline.stage_file("compose", "train.jsonl") == undisturbed.stage_file("compose", "train.jsonl")


def test_a_run_with_one_shard_can_be_resumed_with_three(pipeline: Pipeline, undisturbed: Pipeline) -> None:
    pipeline.kill_at("question/*/task-a1.json")
    assert pipeline.run("--parallel", "3")[0] == 0
    assert pipeline.tables() == undisturbed.tables()


def test_an_s3_store_produces_the_same_tables_as_a_folder(
    pipeline: Pipeline, undisturbed: Pipeline, seaweedfs: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    seaweedfs.set_environment(monkeypatch)
    remote = Pipeline(pipeline.folder, f"s3://{seaweedfs.bucket}/teams/grocery")
    remote.write()
    code, stderr = remote.run()
    assert code == 0, stderr
    assert remote.tables() == undisturbed.tables()
    assert remote.stage_file("compose", "train.jsonl") == undisturbed.stage_file("compose", "train.jsonl")


def test_a_killed_run_on_s3_can_be_resumed_at_once(
    pipeline: Pipeline, undisturbed: Pipeline, seaweedfs: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    seaweedfs.set_environment(monkeypatch)
    remote = Pipeline(pipeline.folder, f"s3://{seaweedfs.bucket}/killed")
    remote.write()
    for seconds in (1.5, 2.5):
        remote.run_and_kill(seconds)
    code, stderr = remote.run("--parallel", "2")
    assert code == 0, stderr
    assert remote.tables() == undisturbed.tables()


def test_the_catalog_may_be_on_s3(
    pipeline: Pipeline, undisturbed: Pipeline, seaweedfs: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    from skutune.store import open_store

    seaweedfs.set_environment(monkeypatch)
    store = open_store(f"s3://{seaweedfs.bucket}/catalogs")
    store.put("grocery.csv", (pipeline.folder / "grocery.csv").read_bytes())
    pipeline.write(catalog__source=f"s3://{seaweedfs.bucket}/catalogs/grocery.csv")
    code, stderr = pipeline.run("--until", "ingest")
    assert code == 0, stderr
    assert pipeline.tables()["ingest"] == undisturbed.tables()["ingest"]
