"""What a submitter writes and reads: tasks, what is missing, what attempts made, the run's record."""

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


def make(store: ObjectStore, task: Task, shard: int, *parts: int, table: str = "") -> Manifest:
    """Put the objects of some parts, and the shard's manifest over them."""
    entries = [Entry(table, part, f"{table}{part}.a{task.attempt}", 1, 0, 4, f"d{part}") for part in parts]
    for entry in entries:
        store.put(f"{task.folder}/{entry.name}", b"part")
    manifest = Manifest(task.stage, task.fingerprint, BUCKETS, tuple(entries))
    manifests.write_shard_manifest(store, task, shard, manifest)
    return manifest


def test_a_draft_holds_only_the_models_that_its_stage_uses(describe: Task) -> None:
    assert describe.models == {"generator": "g"}
    assert describe.attempt == 0
    assert describe.inputs == {"ingest": "sample/ingest/f"}


def test_attempts_deal_only_the_parts_that_are_missing(store: ObjectStore, info: RunInfo, describe: Task) -> None:
    stage = STAGES["describe"]
    assert submit.missing_parts(StageFolder.read(store, describe.folder), stage, BUCKETS) == [0, 1, 2, 3, 4]
    first = submit.next_attempt(StageFolder.read(store, describe.folder), info, stage, describe, [0, 1, 2, 3, 4], 2)
    assert first.shards == ((0, 2, 4), (1, 3))
    manifests.write_task(store, first)
    make(store, first, 0, 0, 4)
    make(store, first, 1, 1, 3)
    assert submit.missing_parts(StageFolder.read(store, describe.folder), stage, BUCKETS) == [2]
    second = submit.next_attempt(
        StageFolder.read(store, describe.folder), info, stage, describe, [2], 2, submitter="sample-describe-a2"
    )
    assert (second.attempt, second.shards, second.submitter) == (2, ((2,),), "sample-describe-a2")
    manifests.write_task(store, second)
    assert manifests.read_task(store, second.key) == second
    with pytest.raises(RetryableError, match="1 objects are missing"):
        submit.merge_attempts(StageFolder.read(store, describe.folder), stage, BUCKETS)
    make(store, second, 0, 2)
    assert sorted(submit.merge_attempts(StageFolder.read(store, describe.folder), stage, BUCKETS).parts()) == [
        0,
        1,
        2,
        3,
        4,
    ]


def test_a_fit_stage_takes_the_newest_attempt_that_is_whole(store: ObjectStore, info: RunInfo) -> None:
    stage = STAGES["ingest"]
    draft = submit.plan_task(config(), info, stage, {}, {}, "digest")
    assert submit.missing_parts(StageFolder.read(store, draft.folder), stage, BUCKETS) == [0]
    with pytest.raises(RetryableError, match="run again"):
        submit.merge_attempts(StageFolder.read(store, draft.folder), stage, BUCKETS)
    made = {}
    for attempt in (1, 2, 3):
        task = submit.next_attempt(StageFolder.read(store, draft.folder), info, stage, draft, [0], 8)
        assert (task.attempt, task.shards, task.reuse) == (attempt, ((0,),), ())
        manifests.write_task(store, task)
        made[attempt] = make(store, task, 0, 0, 1)
    store.delete(f"{draft.folder}/1.a3")
    assert submit.merge_attempts(StageFolder.read(store, draft.folder), stage, BUCKETS) == made[2]
    assert submit.missing_parts(StageFolder.read(store, draft.folder), stage, BUCKETS) == []


def test_outputs_under_other_fingerprints_are_named_for_reuse(
    store: ObjectStore, info: RunInfo, describe: Task
) -> None:
    for fingerprint in ("old", "current"):
        make(store, replace(describe, fingerprint=fingerprint, attempt=1), 0, 0)
    info = replace(info, stages={"describe": "current"})
    task = submit.next_attempt(StageFolder.read(store, describe.folder), info, STAGES["describe"], describe, [0], 1)
    assert task.reuse == ("sample/describe/current", "sample/describe/old")


def test_the_runs_record_keeps_its_owner_buckets_and_stages(store: ObjectStore, info: RunInfo) -> None:
    runs.save_run(store, replace(info, owner="fall-catalog"))
    again = submit.open_run(store, config(catalog={"source": "products.csv"}), None)
    assert (again.owner, again.buckets) == ("fall-catalog", BUCKETS)
    ingest = submit.plan_task(config(), again, STAGES["ingest"], {}, {}, "digest")
    noted = submit.record_done(store, again, STAGES["ingest"], ingest, Manifest("ingest", ingest.fingerprint, 5, ()))
    assert runs.load_run(store, "sample") == replace(noted, config=again.config)
    assert noted.fingerprint("ingest") == ingest.fingerprint


def test_a_base_that_read_no_catalog_is_refused(store: ObjectStore) -> None:
    runs.save_run(store, RunInfo("empty", config(run="empty")))
    with pytest.raises(InputError, match="'empty': has not read its catalog"):
        submit.open_run(store, config(), "empty")


def test_the_models_stage_comes_first_and_depends_on_the_models_alone() -> None:
    assert next(iter(CLUSTER_STAGES)) == MODELS.name
    assert MODELS.name not in STAGES
    assert downstream([MODELS.name]) == {MODELS.name}
    chosen = settings(MODELS, config())
    assert chosen["models"]["base"]["revision"] == "5678"
    assert chosen == settings(MODELS, config(coverage={"min_examples": 3}))


def test_pods_get_the_names_and_identities_of_mirrored_models() -> None:
    figures = {"models": {"base": {"name": "s3://b/models/owner--base/5678", "identity": "owner/base@5678"}}}
    changed, identities = submit.with_mirrored_models(config(), Manifest("models", "f", 0, (), figures=figures))
    assert (changed.models.base.name, changed.models.base.revision) == ("s3://b/models/owner--base/5678", None)
    assert changed.models.generator.name == "owner/generator"
    assert identities == {"base": "owner/base@5678"}
