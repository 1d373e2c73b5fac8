"""One installed release for all tests of the CI files."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from installed import Installed, installed_release


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    with installed_release(tmp_path_factory.mktemp("installed")) as release:
        yield release
