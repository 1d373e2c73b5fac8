"""A fresh cluster a test: it starts in a few milliseconds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakekube import Cluster


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with Cluster(backoff_seconds=0.05) as running:
        yield running
