"""Submitting stages: tasks, missing parts, merged attempts, and the run record."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from skutune.config.load import parse_config
from skutune.config.schema import Config
from skutune.errors import InputError, RetryableError
from skutune.pipeline import manifests, runs, submit
from skutune.pipeline.graph import CLUSTER_STAGES, MODELS, STAGES, downstream, settings
from skutune.pipeline.manifests import Entry, Manifest, Task
from skutune.pipeline.runs import RunInfo
from skutune.pipeline.stage_folder import StageFolder
from skutune.store import ObjectStore, open_store

BUCKETS = 5


def config(**changes: Any) -> Config:
    document: dict[str, Any] = {
        "run": "sample",
        "catalog": {"source": "products.csv", "buckets": BUCKETS},
        "models": {
            "generator": {"name": "owner/generator", "revision": "1234"},
            "encoder": {"name": "none", "engine": "scripted"},
            "base": {"name": "owner/base", "revision": "5678"},
        },
    }
    return parse_config({**document, **changes}, "a test")


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return open_store(str(tmp_path))


@pytest.fixture
def info(store: ObjectStore) -> RunInfo:
    return submit.open_run(store, config(), None)


@pytest.fixture
def describe(info: RunInfo) -> Task:
    ingest = Manifest("ingest", "f", BUCKETS, (Entry("", 0, "part", 3, 0, 7, "d"),))
    return submit.plan_task(config(), info, STAGES["describe"], {"ingest": ingest}, {"generator": "g", "base": "b"}, "")


def complete_parts(store: ObjectStore, task: Task, shard: int, *parts: int, table: str = "") -> Manifest:
    """Write the objects of some parts and the shard manifest."""
    entries = [Entry(table, part, f"{table}{part}.a{task.attempt}", 1, 0, 4, f"d{part}") for part in parts]
    for entry in entries:
        store.put(f"{task.folder}/{entry.name}", b"part")
    manifest = Manifest(task.stage, task.fingerprint, BUCKETS, tuple(entries))
    manifests.write_shard_manifest(store, task, shard, manifest)
    return manifest


def test_a_planned_task_lists_only_the_models_that_its_stage_uses(describe: Task) -> None:
    assert describe.models == {"generator": "g"}
    assert describe.attempt == 0
    assert describe.inputs == {"ingest": "sample/ingest/f"}


def test_attempts_distribute_only_the_missing_parts(store: ObjectStore, info: RunInfo, describe: Task) -> None:
    stage = STAGES["describe"]
    assert submit.missing_parts(StageFolder.read(store, describe.folder), stage, BUCKETS) == [0, 1, 2, 3, 4]
    first = submit.next_attempt(StageFolder.read(store, describe.folder), info, stage, describe, [0, 1, 2, 3, 4], 2)
    assert first.shards == ((0, 2, 4), (1, 3))
    manifests.write_task(store, first)
    complete_parts(store, first, 0, 0, 4)
    complete_parts(store, first, 1, 1, 3)
    assert submit.missing_parts(StageFolder.read(store, describe.folder), stage, BUCKETS) == [2]
    second = submit.next_attempt(
        StageFolder.read(store, describe.folder), info, stage, describe, [2], 2, submitter="sample-describe-a2"
    )
    assert (second.attempt, second.shards, second.submitter) == (2, ((2,),), "sample-describe-a2")
    manifests.write_task(store, second)
    assert manifests.read_task(store, second.key) == second
    with pytest.raises(RetryableError, match="1 parts are missing"):
        submit.merge_attempts(StageFolder.read(store, describe.folder), stage, BUCKETS)
    complete_parts(store, second, 0, 2)
    assert sorted(submit.merge_attempts(StageFolder.read(store, describe.folder), stage, BUCKETS).parts()) == [
        0,
        1,
        2,
        3,
        4,
    ]


def test_a_fit_stage_takes_the_latest_complete_attempt(store: ObjectStore, info: RunInfo) -> None:
    stage = STAGES["ingest"]
    plan = submit.plan_task(config(), info, stage, {}, {}, "digest")
    assert submit.missing_parts(StageFolder.read(store, plan.folder), stage, BUCKETS) == [0]
    with pytest.raises(RetryableError, match="run again"):
        submit.merge_attempts(StageFolder.read(store, plan.folder), stage, BUCKETS)
    by_attempt = {}
    for attempt in (1, 2, 3):
        task = submit.next_attempt(StageFolder.read(store, plan.folder), info, stage, plan, [0], 8)
        assert (task.attempt, task.shards, task.reuse) == (attempt, ((0,),), ())
        manifests.write_task(store, task)
        by_attempt[attempt] = complete_parts(store, task, 0, 0, 1)
    store.delete(f"{plan.folder}/1.a3")
    assert submit.merge_attempts(StageFolder.read(store, plan.folder), stage, BUCKETS) == by_attempt[2]
    assert submit.missing_parts(StageFolder.read(store, plan.folder), stage, BUCKETS) == []


def test_outputs_with_other_fingerprints_are_listed_for_reuse(
    store: ObjectStore, info: RunInfo, describe: Task
) -> None:
    for fingerprint in ("old", "current"):
        complete_parts(store, replace(describe, fingerprint=fingerprint, attempt=1), 0, 0)
    info = replace(info, stages={"describe": "current"})
    task = submit.next_attempt(StageFolder.read(store, describe.folder), info, STAGES["describe"], describe, [0], 1)
    assert task.reuse == ("sample/describe/current", "sample/describe/old")


def test_the_run_record_keeps_owner_buckets_and_stages(store: ObjectStore, info: RunInfo) -> None:
    runs.save_run(store, replace(info, owner="fall-catalog"))
    reopened = submit.open_run(store, config(catalog={"source": "products.csv"}), None)
    assert (reopened.owner, reopened.buckets) == ("fall-catalog", BUCKETS)
    ingest = submit.plan_task(config(), reopened, STAGES["ingest"], {}, {}, "digest")
    recorded = submit.record_done(
        store, reopened, STAGES["ingest"], ingest, Manifest("ingest", ingest.fingerprint, 5, ())
    )
    assert runs.load_run(store, "sample") == replace(recorded, config=reopened.config)
    assert recorded.fingerprint("ingest") == ingest.fingerprint


def test_a_base_run_without_ingest_is_rejected(store: ObjectStore) -> None:
    runs.save_run(store, RunInfo("empty", config(run="empty")))
    with pytest.raises(InputError, match="'empty': ingest is not complete"):
        submit.open_run(store, config(), "empty")


def test_the_models_stage_is_first_and_depends_only_on_the_models() -> None:
    assert next(iter(CLUSTER_STAGES)) == MODELS.name
    assert MODELS.name not in STAGES
    assert downstream([MODELS.name]) == {MODELS.name}
    relevant = settings(MODELS, config())
    assert relevant["models"]["base"]["revision"] == "5678"
    assert relevant == settings(MODELS, config(coverage={"min_examples": 3}))


def test_tasks_use_the_names_and_identities_of_mirrored_models() -> None:
    figures = {"models": {"base": {"name": "s3://b/models/owner--base/5678", "identity": "owner/base@5678"}}}
    changed, identities = submit.with_mirrored_models(config(), Manifest("models", "f", 0, (), figures=figures))
    assert (changed.models.base.name, changed.models.base.revision) == ("s3://b/models/owner--base/5678", None)
    assert changed.models.generator.name == "owner/generator"
    assert identities == {"base": "owner/base@5678"}
