"""The stage tracker over a failing store: after a failure at any operation, it resumes from the store's state."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skutune.cluster.diagnosis import AttemptEnd
from skutune.cluster.plan import ClusterPlan, StagePlan, selected_stages
from skutune.cluster.stage_tracker import StageTracker
from skutune.config.load import parse_config
from skutune.config.schema import Config
from skutune.errors import RetryableError, SkutuneError
from skutune.pipeline import manifests, runs, submit
from skutune.pipeline.graph import CLUSTER_STAGES
from skutune.pipeline.manifests import Entry, Manifest, Task
from skutune.pipeline.stage_folder import StageFolder
from skutune.store.base import ObjectInfo
from skutune.store.local import LocalStore

UNTIL = "recommend"
BUCKETS = 3
END = AttemptEnd(75, "its pods failed")


class FailingStore(LocalStore):
    """A local store whose n-th operation fails, before or after its effect."""

    def __init__(self, path: Path, fails_at: int = 0, fail_after: bool = False) -> None:
        super().__init__(path)
        self.fails_at, self.fail_after, self.count = fails_at, fail_after, 0

    def put(self, key: str, data: bytes) -> None:
        self._count(before=True)
        super().put(key, data)
        self._count(before=False)

    def get(self, key: str) -> bytes:
        self._count(before=True)
        return super().get(key)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        self._count(before=True)
        return super().list(prefix)

    def _count(self, before: bool) -> None:
        self.count += before
        if self.count == self.fails_at and before is not self.fail_after:
            self.fails_at = 0
            raise RetryableError("injected failure")


def config(folder: Path) -> Config:
    catalog = folder / "products.csv"
    catalog.write_text("id,name\n1,Beans\n")
    scripted = {"name": "none", "engine": "scripted"}
    return parse_config(
        {
            "run": "r",
            "store": "s3://unused/here",
            "catalog": {"source": str(catalog)},
            "models": {"generator": scripted, "encoder": scripted, "base": {"name": "none"}},
        },
        "test",
    )


def plan(**changes: Any) -> ClusterPlan:
    stages = {name: StagePlan(template="t", shards=2, **changes) for name in CLUSTER_STAGES}
    return ClusterPlan(devices=0, until=UNTIL, stages=stages)


def make_tracker(store: LocalStore, folder: Path, uid: str = "me", **changes: Any) -> StageTracker:
    run_config = config(folder)
    return StageTracker(store, run_config, plan(**changes), submit.open_run(store, run_config, None), uid)


def complete_shards(store: LocalStore, task: Task, shards: range | None = None, rejected: int = 0) -> None:
    """Write the output of a task's shards: one row a part, rejected or not."""
    stage = CLUSTER_STAGES[task.stage]
    figures: dict[str, Any] = {}
    if task.stage == "models":
        figures["models"] = {role: {"name": "none", "identity": "scripted"} for role in task.models}
    for shard in shards or range(len(task.shards)):
        entries = []
        for part in task.shards[shard] if stage.kind == "map" else (0,):
            store.put(f"{task.folder}/part-{part}", b"x")
            entries.append(Entry("", part, f"part-{part}", 1, rejected, 1, "d", {"empty text": rejected}))
        manifest = Manifest(task.stage, task.fingerprint, BUCKETS, tuple(entries), figures=figures)
        manifests.write_shard_manifest(store, task, shard, manifest)


def run_to_the_end(store: FailingStore, tracker: StageTracker, rounds: int = 200) -> None:
    """Act as the controller, through any failure. The workers' own writes do not fail."""
    reliable = LocalStore(Path(store.uri))
    for _ in range(rounds):
        try:
            tracker.read()
            views = tracker.views()
            if all(view.state == "done" for view in views.values()):
                return
            for name, view in views.items():
                if view.state != "ready":
                    continue
                task = tracker.begin(name)
                if task is not None:
                    complete_shards(reliable, task)
                    tracker.close(name, task.attempt, END, 0.0)
        except RetryableError:
            continue
    raise AssertionError(f"not done: {tracker.views()}")


def test_the_tracker_completes_all_stages_in_order(tmp_path: Path) -> None:
    store = FailingStore(tmp_path / "store")
    run_to_the_end(store, make_tracker(store, tmp_path))
    record = runs.require_run(store, "r")
    assert record.buckets == BUCKETS
    assert set(record.stages or {}) == set(selected_stages(plan()))


@pytest.mark.parametrize("fail_after", [False, True], ids=["before the effect", "after the effect"])
@pytest.mark.parametrize("restart", [False, True], ids=["continues", "restarts"])
def test_a_failure_at_any_store_operation_does_not_change_the_output(
    tmp_path: Path, fail_after: bool, restart: bool
) -> None:
    undisturbed = FailingStore(tmp_path / "undisturbed")
    run_to_the_end(undisturbed, make_tracker(undisturbed, tmp_path))
    expected = {name: manifest.digests() for name, manifest in _manifests(undisturbed).items()}
    opened = FailingStore(tmp_path / "opened")
    make_tracker(opened, tmp_path)
    for operation in range(opened.count + 1, undisturbed.count + 1):
        store = FailingStore(tmp_path / f"store-{operation}")
        tracker = make_tracker(store, tmp_path)
        store.fails_at, store.fail_after = operation, fail_after
        if restart:
            with pytest.raises((RetryableError, AssertionError)):
                _until_it_fails(store, tracker)
            store.fails_at = 0
            tracker = make_tracker(store, tmp_path)
        run_to_the_end(store, tracker)
        store.fails_at = 0
        digests = {name: manifest.digests() for name, manifest in _manifests(store).items()}
        assert digests == expected, f"after a failure at operation {operation}"


def _until_it_fails(store: FailingStore, tracker: StageTracker) -> None:
    reliable = LocalStore(Path(store.uri))
    while True:
        tracker.read()
        views = tracker.views()
        assert any(view.state != "done" for view in views.values())
        for name, view in views.items():
            task = tracker.begin(name) if view.state == "ready" else None
            if task is not None:
                complete_shards(reliable, task)
                tracker.close(name, task.attempt, END, 0.0)


def _manifests(store: LocalStore) -> dict[str, Manifest]:
    record = runs.require_run(store, "r")
    assert record.buckets == BUCKETS
    return {name: runs.stage_output(store, record, name)[1] for name in selected_stages(plan())}


def test_a_stage_that_keeps_no_row_fails_the_run_after_a_restart_too(tmp_path: Path) -> None:
    store = FailingStore(tmp_path / "store")
    tracker = make_tracker(store, tmp_path)
    for name in ("models", "ingest", "question"):
        tracker.read()
        task = tracker.begin(name)
        assert task is not None
        complete_shards(store, task, rejected=int(name == "question"))
        tracker.close(name, task.attempt, END, 0.0)
    for reader in (tracker, make_tracker(store, tmp_path)):
        reader.read()
        reader.read()
        reader.read()
        view = reader.views()["question"]
        assert view.state == "done"
        assert view.failed is not None
        assert view.failed.code == 10
        assert f"question kept 0 of {BUCKETS} rows" in view.failed.reason
        assert f"{BUCKETS} × empty text" in view.failed.reason


def test_a_second_attempt_covers_only_the_missing_parts(tmp_path: Path) -> None:
    store = FailingStore(tmp_path / "store")
    tracker = _with_question_ready(store, tmp_path)
    first = tracker.begin("question")
    assert first is not None
    assert first.shards == ((0, 2), (1,))
    complete_shards(store, first, range(1))
    outcome = tracker.close("question", 1, END, 5.0)
    assert not isinstance(outcome, Manifest)
    second = tracker.begin("question")
    assert second is not None
    assert (second.attempt, second.shards) == (2, ((1,),))


def test_parts_completed_in_the_grace_period_are_not_repeated(tmp_path: Path) -> None:
    store = FailingStore(tmp_path / "store")
    tracker = _with_question_ready(store, tmp_path)
    first = tracker.begin("question")
    assert first is not None
    tracker.close("question", 1, END, 5.0)
    complete_shards(store, first)
    assert tracker.begin("question") is None
    assert tracker.views()["question"].state == "done"


def test_the_attempt_limit_counts_only_the_controllers_own_attempts(tmp_path: Path) -> None:
    store = FailingStore(tmp_path / "store")
    tracker = _with_question_ready(store, tmp_path, attempts=2)
    for attempt in (1, 2):
        tracker.begin("question")
        tracker.close("question", attempt, END, 0.0)
    assert tracker.views()["question"].failed is not None
    upgraded = make_tracker(store, tmp_path, uid="another", attempts=2)
    upgraded.read()
    view = upgraded.views()["question"]
    assert (view.failed, view.attempt, view.is_open) == (None, 2, False)
    task = upgraded.begin("question")
    assert task is not None
    assert task.attempt == 3


def test_a_stage_is_never_done_while_the_number_of_buckets_is_unknown(tmp_path: Path) -> None:
    store = FailingStore(tmp_path / "store")
    tracker = _with_question_ready(store, tmp_path)
    task = tracker.begin("question")
    assert task is not None
    with pytest.raises(SkutuneError, match="buckets"):
        submit.missing_parts(StageFolder.read(store, task.folder), CLUSTER_STAGES["question"], None)


def _with_question_ready(store: FailingStore, folder: Path, **changes: Any) -> StageTracker:
    tracker = make_tracker(store, folder, **changes)
    tracker.read()
    for name in ("models", "ingest"):
        task = tracker.begin(name)
        assert task is not None
        complete_shards(store, task)
        tracker.close(name, 1, END, 0.0)
    return tracker
