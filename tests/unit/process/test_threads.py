"""A process that computes leaves room for others, unless its user said otherwise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from skutune.process import threads
from skutune.process.threads import share_processors, wait_passively


def test_what_a_user_set_stays() -> None:
    mine = {"OMP_WAIT_POLICY": "ACTIVE", "OMP_NUM_THREADS": "7"}
    wait_passively(mine)
    share_processors(mine, 2)
    assert mine == {"OMP_WAIT_POLICY": "ACTIVE", "OMP_NUM_THREADS": "7"}


@pytest.mark.parametrize(("processors", "processes", "expected"), [(8, 2, "4"), (8, 3, "2"), (2, 5, "1"), (8, 1, None)])
def test_processes_share_the_processors(
    monkeypatch: pytest.MonkeyPatch, processors: int, processes: int, expected: str | None
) -> None:
    monkeypatch.setattr(threads, "processors", lambda: processors)
    environment: dict[str, str] = {}
    share_processors(environment, processes)
    assert environment.get("OMP_NUM_THREADS") == expected


@pytest.mark.skipif(sys.platform != "linux", reason="other OpenMP runtimes show their settings in other words")
def test_pytorch_in_a_command_waits_passively(tmp_path: Path) -> None:
    program = (
        "import sys; from skutune.cli import app\n"
        "app.app.command('probe')(lambda: __import__('torch') and None)\n"
        "app.main(['probe'])"
    )
    told = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    done = subprocess.run(
        [sys.executable, "-c", program], env={**told, "OMP_DISPLAY_ENV": "TRUE"}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in done.stderr
