"""A describe task over the sample catalog, untouched and worked in one go."""

from __future__ import annotations

from pathlib import Path

import pytest
from scripted_run import Pipeline
from worker_tasks import Submitted, submitted

from skutune.samples import write_sample


@pytest.fixture(scope="session")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """A run whose catalog is read. Not to be written to."""
    folder = tmp_path_factory.mktemp("ingested")
    write_sample(folder / "grocery.csv")
    made = Pipeline(folder, str(folder / "runs"))
    made.write()
    code, stderr = made.run("--until", "ingest")
    assert code == 0, stderr
    return made


@pytest.fixture
def describe(ingested: Pipeline, tmp_path: Path) -> Submitted:
    """A describe task that nobody has worked on."""
    return submitted(ingested, tmp_path, "store")


@pytest.fixture(scope="session")
def undisturbed(ingested: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Submitted:
    """The same task, worked in one go."""
    made = submitted(ingested, tmp_path_factory.mktemp("undisturbed"), "store")
    code, stderr = made.work()
    assert code == 0, stderr
    return made
