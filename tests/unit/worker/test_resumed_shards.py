"""A replacement pod gets the same shard of the same task and resumes from what the first one has written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from worker_tasks import BUCKETS, SubmittedTask

from skutune.cli.app import _run
from skutune.errors import RetryableError
from skutune.pipeline import manifests, submit
from skutune.pipeline.graph import STAGES
from skutune.pipeline.manifests import Manifest, Task
from skutune.pipeline.stage_folder import StageFolder
from skutune.pipeline.stage_io import Outputs
from skutune.store import open_store
from skutune.worker.run_shard import _check_not_complete

STAGE = STAGES["describe"]


def merged(submitted: SubmittedTask) -> Manifest:
    return submit.merge_attempts(StageFolder.read(submitted.store, submitted.task.folder), STAGE, BUCKETS)


def test_a_replacement_worker_produces_only_the_missing_parts(
    describe: SubmittedTask, undisturbed: SubmittedTask
) -> None:
    assert describe.work("die", 20)[0] == -9
    partial = describe.shard_manifest()
    assert 0 < len(partial.entries) < BUCKETS
    requests_before = len(describe.requests())
    code, stderr = describe.work()
    assert code == 0, stderr
    assert describe.shard_manifest().entries[: len(partial.entries)] == partial.entries
    assert merged(describe).digests() == merged(undisturbed).digests()
    new_requests = describe.requests()[requests_before:]
    rows_by_part = {entry.part: entry.rows for entry in undisturbed.shard_manifest().entries}
    missing = set(rows_by_part) - set(partial.parts())
    assert len({request.partition("#")[0] for request in new_requests}) == sum(rows_by_part[part] for part in missing)


def test_stats_count_each_part_once_across_workers(describe: SubmittedTask, undisturbed: SubmittedTask) -> None:
    for results in (5, 12, 3):
        describe.work("die", results)
    assert describe.work()[0] == 0
    stats, expected = merged(describe).stats, merged(undisturbed).stats
    assert (stats.items, stats.completion_tokens) == (expected.items, expected.completion_tokens)


def test_a_listed_part_without_its_object_is_produced_again(
    describe: SubmittedTask, undisturbed: SubmittedTask
) -> None:
    assert describe.work()[0] == 0
    lost = describe.shard_manifest().entries[2]
    describe.store.delete(f"{describe.task.folder}/{lost.name}")
    requests_before = len(describe.requests())
    assert describe.work()[0] == 0
    assert merged(describe).digests() == merged(undisturbed).digests()
    assert len({request.partition("#")[0] for request in describe.requests()[requests_before:]}) == lost.rows


def test_a_complete_shard_sends_no_requests(describe: SubmittedTask) -> None:
    assert describe.work()[0] == 0
    requests_before = len(describe.requests())
    before = describe.shard_manifest()
    assert describe.work()[0] == 0
    assert len(describe.requests()) == requests_before
    assert describe.shard_manifest().entries == before.entries


def test_parts_lost_to_a_concurrent_worker_are_produced_again(
    describe: SubmittedTask, undisturbed: SubmittedTask
) -> None:
    describe.work("die", 5)
    partial = describe.shard_manifest()
    assert describe.work()[0] == 0
    # The first worker was still alive: it overwrites the complete manifest with its own partial one.
    manifests.write_shard_manifest(describe.store, describe.task, 0, partial)
    lost = submit.missing_parts(StageFolder.read(describe.store, describe.task.folder), STAGE, BUCKETS)
    assert lost
    plan = replace(describe.task, attempt=0, shards=())
    describe.task = submit.next_attempt(
        StageFolder.read(describe.store, plan.folder), describe.info, STAGE, plan, lost, 1
    )
    manifests.write_task(describe.store, describe.task)
    assert describe.work()[0] == 0
    assert merged(describe).digests() == merged(undisturbed).digests()


def test_a_replaced_worker_does_not_overwrite_the_completed_output(tmp_path: Path) -> None:
    """Files have fixed names, so a late worker would replace them with different bytes."""
    store, files = open_store(str(tmp_path / "store")), tmp_path / "files"
    files.mkdir()
    (files / "model").write_bytes(b"first")
    task = Task("run", "finetune", "f", 1, {}, {}, (), None, ((0,),), {})
    late = Outputs(store, task.folder, lambda: _check_not_complete(store, task))
    late.file("model", files / "model")
    manifests.write_manifest(store, task.folder, Manifest("finetune", "f", 0, tuple(late.entries)))
    (files / "model").write_bytes(b"other")
    with pytest.raises(RetryableError, match="another worker has completed"):
        late.file("model", files / "model")
    assert store.get(f"{task.folder}/model") == b"first"
    store.delete(f"{task.folder}/model")  # a lost file may be written again
    late.file("model", files / "model")


def test_a_completed_stage_is_not_run_again(describe: SubmittedTask) -> None:
    assert describe.work()[0] == 0
    manifests.write_manifest(describe.store, describe.task.folder, merged(describe))
    describe.store.delete(f"{describe.task.folder}/shard-a1-0.json")
    requests_before = len(describe.requests())
    assert describe.work()[0] == 0
    assert len(describe.requests()) == requests_before


def test_a_fit_stage_killed_after_completion_is_not_run_again(describe: SubmittedTask) -> None:
    """Its shard manifest is complete; only the exit code is missing."""
    stage = STAGES["ingest"]
    manifest = manifests.read_manifest(describe.store, describe.task.inputs["ingest"])
    assert manifest is not None
    source = json.loads(describe.store.get(f"{describe.task.inputs['ingest']}/task-a1.json"))["source"]
    plan = submit.plan_task(describe.info.config, describe.info, stage, {}, {}, source)
    task = submit.next_attempt(StageFolder.read(describe.store, plan.folder), describe.info, stage, plan, [0], 1)
    manifests.write_task(describe.store, task)
    manifests.write_shard_manifest(describe.store, task, 0, manifest)
    before = sorted((info.key, info.version) for info in describe.store.list(task.folder))
    assert _run(["worker", "--task", f"{describe.store.uri}/{task.key}", "--shard", "0"]) == 0
    assert sorted((info.key, info.version) for info in describe.store.list(task.folder)) == before
