"""Fixtures: pipelines with the scripted engine, to be interrupted and compared."""

from __future__ import annotations

from pathlib import Path

import pytest
from scripted_run import Pipeline

from skutune.samples import write_sample


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    write_sample(tmp_path / "grocery.csv")
    pipeline = Pipeline(tmp_path, str(tmp_path / "runs"))
    pipeline.write()
    return pipeline


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """The same run, completed without interruption, as the reference for interrupted ones. Read-only."""
    folder = tmp_path_factory.mktemp("undisturbed")
    write_sample(folder / "grocery.csv")
    pipeline = Pipeline(folder, str(folder / "runs"))
    pipeline.write()
    code, stderr = pipeline.run()
    assert code == 0, stderr
    return pipeline
