"""A model's folder appears whole or not at all, and what killed processes left goes after a day."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from skutune.engines.weights.folders import atomic_folder
from skutune.errors import InputError

DAY_SECONDS = 24 * 3600
HANG_HALF_WAY = """
import sys, time
from pathlib import Path
from skutune.engines.weights.folders import atomic_folder

with atomic_folder(Path(sys.argv[1]), "downloading") as made:
    made.mkdir()
    (made / "half").write_text(".")
    print("half way", flush=True)
    time.sleep(600)
"""


def make(folder: Path, doing: str = "downloading") -> None:
    with atomic_folder(folder, doing) as made:
        made.mkdir()
        (made / "config.json").write_text("{}")


def kill_half_way(folder: Path) -> Path:
    """What is left of a process that was killed while it made the folder."""
    command = [sys.executable, "-c", HANG_HALF_WAY, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "half way\n"
        finally:
            process.send_signal(signal.SIGKILL)
    (left,) = folder.parent.iterdir()
    return left


def set_age(folder: Path, seconds: float) -> None:
    """Make a folder and all in it that old."""
    then = time.time() - seconds
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (then, then))


def test_a_folder_is_seen_only_when_it_is_finished(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "small"
    with atomic_folder(folder, "downloading") as made:
        made.mkdir()
        assert not folder.exists()
    assert [path.name for path in folder.parent.iterdir()] == ["small"]


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    with suppress(RuntimeError), atomic_folder(tmp_path / "models" / "small", "downloading") as made:
        made.mkdir()
        raise RuntimeError("no network")
    assert list((tmp_path / "models").iterdir()) == []


def test_of_two_that_make_a_folder_the_first_one_stays(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    with atomic_folder(folder, "downloading") as made:
        made.mkdir()
        (made / "late").touch()
        make(folder)
    assert [path.name for path in folder.iterdir()] == ["config.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["small"]


def test_what_a_killed_process_left_is_removed_after_a_day(tmp_path: Path) -> None:
    left = kill_half_way(tmp_path / "models" / "small")
    make(tmp_path / "models" / "first")
    assert left.exists()
    set_age(left, DAY_SECONDS + 60)
    make(tmp_path / "models" / "second")
    assert sorted(path.name for path in left.parent.iterdir()) == ["first", "second"]


def test_a_download_that_goes_on_for_longer_than_a_day_is_left_alone(tmp_path: Path) -> None:
    left = kill_half_way(tmp_path / "models" / "small")
    set_age(left, DAY_SECONDS + 60)
    (half,) = left.rglob("half")
    os.utime(half)  # as a process does that still writes
    make(tmp_path / "models" / "other")
    assert half.exists()


def test_only_unfinished_work_of_the_same_kind_is_removed(tmp_path: Path) -> None:
    make(tmp_path / "finished")
    (tmp_path / ".converting-abc").mkdir()
    for folder in tmp_path.iterdir():
        set_age(folder, 3 * DAY_SECONDS)
    make(tmp_path / "small", "downloading")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".converting-abc", "finished", "small"]
    make(tmp_path / "smaller", "converting")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["finished", "small", "smaller"]


def test_a_cache_below_a_file_is_explained(tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    with pytest.raises(InputError, match="a file exists where a folder is needed"):
        make(tmp_path / "cache" / "models" / "small")
