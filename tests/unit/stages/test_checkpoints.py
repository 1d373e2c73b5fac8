from __future__ import annotations

from pathlib import Path

from skutune.stages.checkpoints import Checkpoints
from skutune.store import open_store


def _checkpoint(folder: Path, step: int) -> Path:
    path = folder / f"checkpoint-{step}"
    (path / "deep").mkdir(parents=True)
    (path / "weights").write_text(str(step))
    (path / "deep" / "state").write_text("s")
    return path


def test_the_newest_whole_checkpoint_comes_back_and_older_ones_go(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    checkpoints = Checkpoints(store, "run/finetune/f")
    assert checkpoints.restore(tmp_path / "none") is None
    for step in (9, 10):
        path = _checkpoint(tmp_path / "made", step)
        checkpoints.save(path, path.name)
    assert checkpoints.restore(tmp_path / "back") == "checkpoint-10"
    assert (tmp_path / "back" / "checkpoint-10" / "weights").read_text() == "10"
    assert (tmp_path / "back" / "checkpoint-10" / "deep" / "state").exists()
    assert not list(store.list("run/finetune/f/checkpoints/checkpoint-9/"))
    checkpoints.clear()
    assert not list(store.list("run/finetune/f/checkpoints/"))


def test_a_checkpoint_that_was_not_finished_is_passed_over(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    checkpoints = Checkpoints(store, "f")
    path = _checkpoint(tmp_path / "made", 5)
    checkpoints.save(path, path.name)
    store.put("f/checkpoints/checkpoint-6/weights", b"half")
    assert checkpoints.restore(tmp_path / "back") == "checkpoint-5"
