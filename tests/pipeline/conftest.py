"""Runs with the scripted engine, to be disturbed and compared."""

from __future__ import annotations

from pathlib import Path

import pytest
from scripted_run import Pipeline

from skutune.samples import write_sample


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    write_sample(tmp_path / "grocery.csv")
    made = Pipeline(tmp_path, str(tmp_path / "runs"))
    made.write()
    return made


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """The same run, finished in one go: what every disturbed one must equal. Not to be written to."""
    folder = tmp_path_factory.mktemp("undisturbed")
    write_sample(folder / "grocery.csv")
    made = Pipeline(folder, str(folder / "runs"))
    made.write()
    code, stderr = made.run()
    assert code == 0, stderr
    return made
