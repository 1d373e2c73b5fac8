"""Fixtures for end-to-end tests of releases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from release import Release, cluster_for_releases
from servers import S3Server

from tests.fakekube import Cluster


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with cluster_for_releases() as running:
        yield running


@pytest.fixture
def make_release(
    cluster: Cluster, seaweedfs: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Release]:
    """A factory of releases, each with its own folder in the store."""
    seaweedfs.set_environment(monkeypatch)

    def make(name: str = "fall", **settings: object) -> Release:
        folder = tmp_path / f"{tmp_path.name}-{name}"
        folder.mkdir(exist_ok=True)
        return Release(cluster, seaweedfs, folder, name, **settings)  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def local_output(seaweedfs: S3Server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The output of the same config in a local run: the fingerprint and the digests of each stage."""
    from release import PRODUCTS
    from scripted_run import Pipeline

    from skutune.samples import write_sample

    folder = tmp_path_factory.mktemp("laptop")
    pipeline = Pipeline(folder, str(folder / "store"))
    write_sample(folder / "grocery.csv", PRODUCTS)
    pipeline.write(models__generator__malformed_rate=0.15)
    code, message = pipeline.run()
    assert code == 0, message
    return pipeline.tables()
