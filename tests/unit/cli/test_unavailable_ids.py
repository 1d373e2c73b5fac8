"""Unknown ids in the file of unavailable products are reported."""

from __future__ import annotations

from pathlib import Path

import pytest

from skutune.cli.inspect import report_unknown_ids
from skutune.errors import InputError

FILE = Path("sold-out.txt")


def test_unknown_ids_are_counted_once_each(capsys: pytest.CaptureFixture[str]) -> None:
    report_unknown_ids(["1", "7", "7", "8"], ["1", "2"], FILE)
    assert capsys.readouterr().err == "--unavailable sold-out.txt: 2 of 3 ids are not in the catalog, for example '7'\n"


@pytest.mark.parametrize("ids", [[], ["1", "2", "2"]])
def test_known_ids_are_not_reported(ids: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    report_unknown_ids(ids, ["1", "2"], FILE)
    assert capsys.readouterr() == ("", "")


def test_a_file_without_any_known_id_is_rejected() -> None:
    with pytest.raises(
        InputError, match=r"--unavailable sold-out\.txt: none of the ids is in the catalog, for example '1,2'"
    ):
        report_unknown_ids(["1,2"], ["1", "2"], FILE)
