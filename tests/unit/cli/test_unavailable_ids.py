"""Ids that shall not be recommended, and what is said of those that no product has."""

from __future__ import annotations

from pathlib import Path

import pytest

from skutune.cli.inspect import tell_unknown
from skutune.errors import InputError

FILE = Path("sold-out.txt")


def test_ids_that_no_product_has_are_counted_once_each(capsys: pytest.CaptureFixture[str]) -> None:
    tell_unknown(["1", "7", "7", "8"], ["1", "2"], FILE)
    assert capsys.readouterr().err == "--unavailable sold-out.txt: 2 of 3 ids are not in the catalog: '7' …\n"


@pytest.mark.parametrize("ids", [[], ["1", "2", "2"]])
def test_nothing_is_said_where_all_are_products(ids: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    tell_unknown(ids, ["1", "2"], FILE)
    assert capsys.readouterr() == ("", "")


def test_a_file_without_any_product_is_refused() -> None:
    with pytest.raises(
        InputError, match=r"--unavailable sold-out\.txt: none of its ids is in the catalog, such as '1,2'"
    ):
        tell_unknown(["1,2"], ["1", "2"], FILE)
