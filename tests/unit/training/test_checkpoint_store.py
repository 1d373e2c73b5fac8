"""What a killed training goes on from: whole checkpoints, of one process or of several."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from skutune.errors import RetryableError, StopSignal
from skutune.store import ObjectStore, open_store
from skutune.training.checkpoint_store import Checkpoints, MemoryLimit
from skutune.training.checkpoint_upload import Uploads


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return open_store(str(tmp_path / "store"))


def _checkpoint(folder: Path, step: int, file: str = "weights") -> Path:
    path = folder / f"checkpoint-{step}"
    (path / "deep").mkdir(parents=True)
    (path / file).write_text(str(step))
    (path / "deep" / f"{file}-state").write_text("s")
    return path


def _save(checkpoints: Checkpoints, path: Path) -> None:
    checkpoints.save(path, path.name)


def test_the_newest_whole_checkpoint_comes_back_and_older_ones_go(store: ObjectStore, tmp_path: Path) -> None:
    checkpoints = Checkpoints(store, "run/finetune/f")
    assert checkpoints.restore(tmp_path / "none") is None
    for step in (9, 10):
        _save(checkpoints, _checkpoint(tmp_path / "made", step))
    assert checkpoints.restore(tmp_path / "back") == "checkpoint-10"
    assert (tmp_path / "back" / "checkpoint-10" / "weights").read_text() == "10"
    assert (tmp_path / "back" / "checkpoint-10" / "deep" / "weights-state").exists()
    assert not list(store.list("run/finetune/f/checkpoints/checkpoint-9/"))
    checkpoints.clear()
    assert not list(store.list("run/finetune/f/"))


def test_a_checkpoint_that_was_not_finished_is_passed_over(store: ObjectStore, tmp_path: Path) -> None:
    checkpoints = Checkpoints(store, "f")
    _save(checkpoints, _checkpoint(tmp_path / "made", 5))
    store.put("f/checkpoints/checkpoint-6/0/weights", b"half")
    assert checkpoints.restore(tmp_path / "back") == "checkpoint-5"


def test_a_checkpoint_of_two_is_whole_when_both_have_put_it(store: ObjectStore, tmp_path: Path) -> None:
    first, second = (Checkpoints(store, "f", rank, 2) for rank in (0, 1))
    for step in (4, 8):
        _save(first, _checkpoint(tmp_path / "first", step))
    _save(second, _checkpoint(tmp_path / "second", 4, "piece"))
    assert first.restore(tmp_path / "back") == "checkpoint-4"
    _save(second, _checkpoint(tmp_path / "second", 8, "piece"))
    assert first.restore(tmp_path / "back") == "checkpoint-8"


def test_each_process_gets_what_the_first_wrote_and_its_own(store: ObjectStore, tmp_path: Path) -> None:
    for rank, file in enumerate(("weights", "piece-1", "piece-2")):
        _save(Checkpoints(store, "f", rank, 3), _checkpoint(tmp_path / file, 4, file))
    Checkpoints(store, "f", 1, 3).restore(tmp_path / "back")
    assert {path.name for path in (tmp_path / "back" / "checkpoint-4").iterdir()} == {"weights", "piece-1", "deep"}
    # One more than there were before: all that the first wrote is enough, where nothing was split.
    Checkpoints(store, "f", 3, 4).restore(tmp_path / "more")
    assert {path.name for path in (tmp_path / "more" / "checkpoint-4").iterdir()} == {"weights", "deep"}


def test_the_limit_of_memory_is_remembered_until_the_stage_is_done(store: ObjectStore) -> None:
    checkpoints = Checkpoints(store, "f")
    assert checkpoints.memory_limit() is None
    checkpoints.limit_memory(MemoryLimit(4))
    assert Checkpoints(store, "f", 1, 2).memory_limit() == MemoryLimit(4, checkpointing=False)
    checkpoints.clear()
    assert checkpoints.memory_limit() is None


class _Slow(Checkpoints):
    """Puts nothing before it is told to go on."""

    go_on = threading.Event()

    def save(self, path: Path, name: str) -> None:
        assert self.go_on.wait(30)
        super().save(path, name)


class _Broken(Checkpoints):
    def save(self, path: Path, name: str) -> None:
        raise RetryableError("the store is gone")


def test_a_training_goes_on_while_its_checkpoint_is_put(store: ObjectStore, tmp_path: Path) -> None:
    checkpoints = _Slow(store, "f")
    path = _checkpoint(tmp_path / "made", 4)
    with Uploads(checkpoints, tmp_path / "links") as uploads:
        uploads.add(path)
        (path / "weights").unlink()  # the trainer keeps only so many of its own
        assert checkpoints.restore(tmp_path / "early") is None
        checkpoints.go_on.set()
    assert checkpoints.restore(tmp_path / "back") == "checkpoint-4"
    assert (tmp_path / "back" / "checkpoint-4" / "weights").read_text() == "4"
    assert not list((tmp_path / "links").iterdir())


def test_an_upload_that_failed_ends_the_training(store: ObjectStore, tmp_path: Path) -> None:
    uploads = Uploads(_Broken(store, "f"), tmp_path / "links")
    uploads.add(_checkpoint(tmp_path / "made", 4))
    with pytest.raises(RetryableError, match="the store is gone"):
        uploads.add(_checkpoint(tmp_path / "made", 8))
    with pytest.raises(ZeroDivisionError), uploads:
        raise ZeroDivisionError  # what went wrong first is told


def test_a_training_that_is_told_to_stop_does_not_wait_for_the_store(store: ObjectStore, tmp_path: Path) -> None:
    checkpoints = _Slow(store, "f")
    checkpoints.go_on.clear()
    uploads = Uploads(checkpoints, tmp_path / "links")
    uploads.add(_checkpoint(tmp_path / "made", 4))
    with pytest.raises(StopSignal), uploads:
        raise StopSignal
    assert checkpoints.restore(tmp_path / "early") is None
    checkpoints.go_on.set()
