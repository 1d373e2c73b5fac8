"""Model folders are created atomically, and leftovers of killed processes are removed after a day."""

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
HANG_HALFWAY = """
import sys, time
from pathlib import Path
from skutune.engines.weights.folders import atomic_folder

with atomic_folder(Path(sys.argv[1]), "downloading") as temporary:
    temporary.mkdir()
    (temporary / "half").write_text(".")
    print("half way", flush=True)
    time.sleep(600)
"""


def create(folder: Path, doing: str = "downloading") -> None:
    with atomic_folder(folder, doing) as temporary:
        temporary.mkdir()
        (temporary / "config.json").write_text("{}")


def kill_halfway(folder: Path) -> Path:
    """Kill a process while it creates the folder, and return its leftovers."""
    command = [sys.executable, "-c", HANG_HALFWAY, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "half way\n"
        finally:
            process.send_signal(signal.SIGKILL)
    (leftover,) = folder.parent.iterdir()
    return leftover


def set_age(folder: Path, seconds: float) -> None:
    """Set the modification time of a folder and its contents to this many seconds ago."""
    then = time.time() - seconds
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (then, then))


def test_a_folder_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "small"
    with atomic_folder(folder, "downloading") as temporary:
        temporary.mkdir()
        assert not folder.exists()
    assert [path.name for path in folder.parent.iterdir()] == ["small"]


def test_a_failure_leaves_no_files(tmp_path: Path) -> None:
    with suppress(RuntimeError), atomic_folder(tmp_path / "models" / "small", "downloading") as temporary:
        temporary.mkdir()
        raise RuntimeError("no network")
    assert list((tmp_path / "models").iterdir()) == []


def test_the_first_of_two_processes_that_create_a_folder_wins(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    with atomic_folder(folder, "downloading") as temporary:
        temporary.mkdir()
        (temporary / "late").touch()
        create(folder)
    assert [path.name for path in folder.iterdir()] == ["config.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["small"]


def test_leftovers_of_a_killed_process_are_removed_after_a_day(tmp_path: Path) -> None:
    leftover = kill_halfway(tmp_path / "models" / "small")
    create(tmp_path / "models" / "first")
    assert leftover.exists()
    set_age(leftover, DAY_SECONDS + 60)
    create(tmp_path / "models" / "second")
    assert sorted(path.name for path in leftover.parent.iterdir()) == ["first", "second"]


def test_a_download_that_takes_longer_than_a_day_is_kept(tmp_path: Path) -> None:
    leftover = kill_halfway(tmp_path / "models" / "small")
    set_age(leftover, DAY_SECONDS + 60)
    (half,) = leftover.rglob("half")
    os.utime(half)  # as a process that is still writing
    create(tmp_path / "models" / "other")
    assert half.exists()


def test_only_leftovers_of_the_same_activity_are_removed(tmp_path: Path) -> None:
    create(tmp_path / "finished")
    (tmp_path / ".converting-abc").mkdir()
    for folder in tmp_path.iterdir():
        set_age(folder, 3 * DAY_SECONDS)
    create(tmp_path / "small", "downloading")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".converting-abc", "finished", "small"]
    create(tmp_path / "smaller", "converting")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["finished", "small", "smaller"]


def test_a_cache_below_a_file_raises(tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    with pytest.raises(InputError, match="a file exists where a folder is needed"):
        create(tmp_path / "cache" / "models" / "small")
