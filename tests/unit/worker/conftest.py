"""Fixtures: a describe task over the sample catalog, not started and completed without interruption."""

from __future__ import annotations

from pathlib import Path

import pytest
from scripted_run import Pipeline
from worker_tasks import SubmittedTask, submit_describe

from skutune.samples import write_sample


@pytest.fixture(scope="session")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """A run that has completed ingest. Read-only."""
    folder = tmp_path_factory.mktemp("ingested")
    write_sample(folder / "grocery.csv")
    pipeline = Pipeline(folder, str(folder / "runs"))
    pipeline.write()
    code, stderr = pipeline.run("--until", "ingest")
    assert code == 0, stderr
    return pipeline


@pytest.fixture
def describe(ingested: Pipeline, tmp_path: Path) -> SubmittedTask:
    """A describe task that has not been started."""
    return submit_describe(ingested, tmp_path, "store")


@pytest.fixture(scope="session")
def undisturbed(ingested: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> SubmittedTask:
    """The same task, completed without interruption."""
    task = submit_describe(ingested, tmp_path_factory.mktemp("undisturbed"), "store")
    code, stderr = task.work()
    assert code == 0, stderr
    return task
