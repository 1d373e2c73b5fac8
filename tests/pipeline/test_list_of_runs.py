"""`skutune runs` says how far each run is, when it last changed, and how good its model is; `--version` the version."""

from __future__ import annotations

import json
import time
from importlib.metadata import version

import pytest
from scripted_run import Pipeline

from skutune.cli.app import _run


def test_runs_says_when_how_far_and_how_good(pipeline: Pipeline, capsys: pytest.CaptureFixture[str]) -> None:
    assert pipeline.run("--until", "describe")[0] == 0
    assert _run(["runs", "--store", pipeline.store]) == 0
    row = capsys.readouterr().out.splitlines()[1].split()
    assert row[:4] == ["sample", "until", "describe", "2/15"]
    assert row[4].startswith(time.strftime("%Y-%m-"))
    assert _run(["runs", "--json", "--store", pipeline.store]) == 0
    (summary,) = json.loads(capsys.readouterr().out)
    assert time.time() - 300 < summary.pop("time") <= time.time()
    assert summary == {
        "run": "sample", "state": "until describe", "done": 2, "stages": 15, "working": [], "name_agrees": None,
        "latest": False,
    }  # fmt: skip


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(["--version"]) == 0
    assert capsys.readouterr().out == f"skutune {version('skutune')}\n"
