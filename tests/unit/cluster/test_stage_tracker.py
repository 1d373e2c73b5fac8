"""The controller's books over a store that fails: at any operation, the next look goes on from what is there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skutune.cluster.diagnosis import AttemptEnd
from skutune.cluster.plan import ClusterPlan, StagePlan, wanted_stages
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
END = AttemptEnd(75, "its pods ended")


class FailingStore(LocalStore):
    """A local store whose n-th operation fails, before it is done or after it."""

    def __init__(self, path: Path, fails_at: int = 0, after: bool = False) -> None:
        super().__init__(path)
        self.fails_at, self.after, self.count = fails_at, after, 0

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
        if self.count == self.fails_at and before is not self.after:
            self.fails_at = 0
            raise RetryableError("the store fails, as it was told")


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


def ledger(store: LocalStore, folder: Path, uid: str = "me", **changes: Any) -> StageTracker:
    wanted = config(folder)
    return StageTracker(store, wanted, plan(**changes), submit.open_run(store, wanted, None), uid)


def work(store: LocalStore, task: Task, shards: range | None = None) -> None:
    """Make what the shards of a task would make."""
    stage = CLUSTER_STAGES[task.stage]
    figures: dict[str, Any] = {}
    if task.stage == "models":
        figures["models"] = {role: {"name": "none", "identity": "scripted"} for role in task.models}
    for shard in shards or range(len(task.shards)):
        entries = []
        for part in task.shards[shard] if stage.kind == "map" else (0,):
            store.put(f"{task.folder}/part-{part}", b"x")
            entries.append(Entry("", part, f"part-{part}", 1, 0, 1, "d"))
        made = Manifest(task.stage, task.fingerprint, BUCKETS, tuple(entries), figures=figures)
        manifests.write_shard_manifest(store, task, shard, made)


def run_to_the_end(store: FailingStore, books: StageTracker, rounds: int = 200) -> None:
    """What a controller does with the books, through any failure; the workers' own writes do not fail."""
    plain = LocalStore(Path(store.uri))
    for _ in range(rounds):
        try:
            books.read()
            views = books.views()
            if all(view.state == "done" for view in views.values()):
                return
            for name, view in views.items():
                if view.state != "ready":
                    continue
                task = books.begin(name)
                if task is not None:
                    work(plain, task)
                    books.close(name, task.attempt, END, 0.0)
        except RetryableError:
            continue
    raise AssertionError(f"not done: {books.views()}")


def test_books_lead_from_one_stage_to_the_next(tmp_path: Path) -> None:
    store = FailingStore(tmp_path / "store")
    run_to_the_end(store, ledger(store, tmp_path))
    record = runs.require_run(store, "r")
    assert record.buckets == BUCKETS
    assert set(record.stages or {}) == set(wanted_stages(plan()))


@pytest.mark.parametrize("after", [False, True], ids=["not done", "done and not told"])
@pytest.mark.parametrize("restart", [False, True], ids=["goes on", "restarted"])
def test_a_store_that_fails_at_any_operation_changes_nothing_of_what_is_made(
    tmp_path: Path, after: bool, restart: bool
) -> None:
    undisturbed = FailingStore(tmp_path / "undisturbed")
    run_to_the_end(undisturbed, ledger(undisturbed, tmp_path))
    expected = {name: manifest.digests() for name, manifest in _manifests(undisturbed).items()}
    begins = FailingStore(tmp_path / "begins")
    ledger(begins, tmp_path)
    for operation in range(begins.count + 1, undisturbed.count + 1):
        store = FailingStore(tmp_path / f"store-{operation}")
        books = ledger(store, tmp_path)
        store.fails_at, store.after = operation, after
        if restart:
            with pytest.raises((RetryableError, AssertionError)):
                _until_it_fails(store, books)
            store.fails_at = 0
            books = ledger(store, tmp_path)
        run_to_the_end(store, books)
        store.fails_at = 0
        found = {name: manifest.digests() for name, manifest in _manifests(store).items()}
        assert found == expected, f"after a failure at operation {operation}"


def _until_it_fails(store: FailingStore, books: StageTracker) -> None:
    plain = LocalStore(Path(store.uri))
    while True:
        books.read()
        views = books.views()
        assert any(view.state != "done" for view in views.values())
        for name, view in views.items():
            task = books.begin(name) if view.state == "ready" else None
            if task is not None:
                work(plain, task)
                books.close(name, task.attempt, END, 0.0)


def _manifests(store: LocalStore) -> dict[str, Manifest]:
    record = runs.require_run(store, "r")
    assert record.buckets == BUCKETS
    return {name: runs.stage_output(store, record, name)[1] for name in wanted_stages(plan())}


def test_a_second_attempt_is_over_what_is_missing_alone(tmp_path: Path) -> None:
    store = FailingStore(tmp_path / "store")
    books = _with_question_ready(store, tmp_path)
    first = books.begin("question")
    assert first is not None
    assert first.shards == ((0, 2), (1,))
    work(store, first, range(1))
    outcome = books.close("question", 1, END, 5.0)
    assert not isinstance(outcome, Manifest)
    second = books.begin("question")
    assert second is not None
    assert (second.attempt, second.shards) == (2, ((1,),))


def test_what_ended_pods_made_in_their_grace_is_not_made_again(tmp_path: Path) -> None:
    store = FailingStore(tmp_path / "store")
    books = _with_question_ready(store, tmp_path)
    first = books.begin("question")
    assert first is not None
    books.close("question", 1, END, 5.0)
    work(store, first)
    assert books.begin("question") is None
    assert books.views()["question"].state == "done"


def test_a_limit_counts_the_attempts_of_one_controller_alone(tmp_path: Path) -> None:
    store = FailingStore(tmp_path / "store")
    books = _with_question_ready(store, tmp_path, attempts=2)
    for attempt in (1, 2):
        books.begin("question")
        books.close("question", attempt, END, 0.0)
    assert books.views()["question"].failed is not None
    upgraded = ledger(store, tmp_path, uid="another", attempts=2)
    upgraded.read()
    view = upgraded.views()["question"]
    assert (view.failed, view.attempt, view.is_open) == (None, 2, False)
    task = upgraded.begin("question")
    assert task is not None
    assert task.attempt == 3


def test_a_run_whose_buckets_are_not_known_is_never_taken_for_done(tmp_path: Path) -> None:
    store = FailingStore(tmp_path / "store")
    books = _with_question_ready(store, tmp_path)
    draft = books.begin("question")
    assert draft is not None
    with pytest.raises(SkutuneError, match="buckets"):
        submit.missing_parts(StageFolder.read(store, draft.folder), CLUSTER_STAGES["question"], None)


def _with_question_ready(store: FailingStore, folder: Path, **changes: Any) -> StageTracker:
    books = ledger(store, folder, **changes)
    books.read()
    for name in ("models", "ingest"):
        task = books.begin(name)
        assert task is not None
        work(store, task)
        books.close(name, 1, END, 0.0)
    return books
