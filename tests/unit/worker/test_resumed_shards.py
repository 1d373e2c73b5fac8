"""A pod that is replaced gets the same shard of the same task, and goes on from what the first one left."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from worker_tasks import BUCKETS, Submitted

from skutune.cli.app import _run
from skutune.errors import RetryableError
from skutune.pipeline import manifests, submit
from skutune.pipeline.graph import STAGES
from skutune.pipeline.manifests import Manifest, Task
from skutune.pipeline.stage_folder import StageFolder
from skutune.pipeline.stage_io import Outputs
from skutune.store import open_store
from skutune.worker.run_shard import _check_not_done

STAGE = STAGES["describe"]


def whole(submitted: Submitted) -> Manifest:
    return submit.merge_attempts(StageFolder.read(submitted.store, submitted.task.folder), STAGE, BUCKETS)


def test_a_replaced_worker_makes_only_what_the_killed_one_did_not_list(
    describe: Submitted, undisturbed: Submitted
) -> None:
    assert describe.work("die", 20)[0] == -9
    left = describe.listed()
    assert 0 < len(left.entries) < BUCKETS
    made_before = len(describe.requests())
    code, stderr = describe.work()
    assert code == 0, stderr
    assert describe.listed().entries[: len(left.entries)] == left.entries
    assert whole(describe).digests() == whole(undisturbed).digests()
    again = describe.requests()[made_before:]
    described = {entry.part: entry.rows for entry in undisturbed.listed().entries}
    missing = set(described) - set(left.parts())
    assert len({request.partition("#")[0] for request in again}) == sum(described[part] for part in missing)


def test_what_a_shard_cost_counts_the_parts_of_all_its_workers_once(
    describe: Submitted, undisturbed: Submitted
) -> None:
    for results in (5, 12, 3):
        describe.work("die", results)
    assert describe.work()[0] == 0
    found, expected = whole(describe).stats, whole(undisturbed).stats
    assert (found.items, found.completion_tokens) == (expected.items, expected.completion_tokens)


def test_a_listed_part_whose_object_is_gone_is_made_again(describe: Submitted, undisturbed: Submitted) -> None:
    assert describe.work()[0] == 0
    lost = describe.listed().entries[2]
    describe.store.delete(f"{describe.task.folder}/{lost.name}")
    asked = len(describe.requests())
    assert describe.work()[0] == 0
    assert whole(describe).digests() == whole(undisturbed).digests()
    assert len({request.partition("#")[0] for request in describe.requests()[asked:]}) == lost.rows


def test_a_shard_that_is_whole_asks_nothing(describe: Submitted) -> None:
    assert describe.work()[0] == 0
    asked = len(describe.requests())
    before = describe.listed()
    assert describe.work()[0] == 0
    assert len(describe.requests()) == asked
    assert describe.listed().entries == before.entries


def test_what_a_twin_writes_over_can_be_made_again(describe: Submitted, undisturbed: Submitted) -> None:
    describe.work("die", 5)
    begun = describe.listed()
    assert describe.work()[0] == 0
    # The first one was not dead, only silent: it puts the list that it knows over the whole one.
    manifests.write_shard_manifest(describe.store, describe.task, 0, begun)
    lost = submit.missing_parts(StageFolder.read(describe.store, describe.task.folder), STAGE, BUCKETS)
    assert lost
    draft = replace(describe.task, attempt=0, shards=())
    describe.task = submit.next_attempt(
        StageFolder.read(describe.store, draft.folder), describe.info, STAGE, draft, lost, 1
    )
    manifests.write_task(describe.store, describe.task)
    assert describe.work()[0] == 0
    assert whole(describe).digests() == whole(undisturbed).digests()


def test_a_worker_that_was_given_up_does_not_write_over_what_another_one_finished(tmp_path: Path) -> None:
    """It comes to its end after the stage was done: its files have the same names, and perhaps other bytes."""
    store, files = open_store(str(tmp_path / "store")), tmp_path / "files"
    files.mkdir()
    (files / "model").write_bytes(b"first")
    task = Task("run", "finetune", "f", 1, {}, {}, (), None, ((0,),), {})
    late = Outputs(store, task.folder, lambda: _check_not_done(store, task))
    late.file("model", files / "model")
    manifests.write_manifest(store, task.folder, Manifest("finetune", "f", 0, tuple(late.entries)))
    (files / "model").write_bytes(b"other")
    with pytest.raises(RetryableError, match="another worker has finished"):
        late.file("model", files / "model")
    assert store.get(f"{task.folder}/model") == b"first"
    store.delete(f"{task.folder}/model")  # what is lost may be made again
    late.file("model", files / "model")


def test_a_stage_that_is_done_is_left_alone(describe: Submitted) -> None:
    assert describe.work()[0] == 0
    manifests.write_manifest(describe.store, describe.task.folder, whole(describe))
    describe.store.delete(f"{describe.task.folder}/shard-a1-0.json")
    asked = len(describe.requests())
    assert describe.work()[0] == 0
    assert len(describe.requests()) == asked


def test_a_fit_stage_that_was_killed_after_its_end_is_not_run_again(describe: Submitted) -> None:
    """Its manifest is there and whole: nothing but the exit code is missing."""
    stage = STAGES["ingest"]
    done = manifests.read_manifest(describe.store, describe.task.inputs["ingest"])
    assert done is not None
    source = json.loads(describe.store.get(f"{describe.task.inputs['ingest']}/task-a1.json"))["source"]
    draft = submit.plan_task(describe.info.config, describe.info, stage, {}, {}, source)
    task = submit.next_attempt(StageFolder.read(describe.store, draft.folder), describe.info, stage, draft, [0], 1)
    manifests.write_task(describe.store, task)
    manifests.write_shard_manifest(describe.store, task, 0, done)
    before = sorted((info.key, info.version) for info in describe.store.list(task.folder))
    assert _run(["worker", "--task", f"{describe.store.uri}/{task.key}", "--shard", "0"]) == 0
    assert sorted((info.key, info.version) for info in describe.store.list(task.folder)) == before
