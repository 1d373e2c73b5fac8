"""What `skutune catalog check` tells, and when rejected rows stop a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from skutune.catalog import AttributeSummary, check, raise_if_rejected
from skutune.config.schema import Columns
from skutune.errors import InputError
from skutune.records import Reject


def written(folder: Path, rows: list[str]) -> Path:
    path = folder / "products.csv"
    path.write_text("\n".join(["id,name,aisle,note", *rows]) + "\n", encoding="utf-8")
    return path


def test_a_report_counts_products_attributes_and_names(tmp_path: Path) -> None:
    path = written(tmp_path, ["1,Beans,cans,", "2,beans ,cans,", "3,Iced Tea,drinks,", ",Corn,cans,"])
    report = check(path, Columns(attributes=("aisle", "note")), max_rejects=0)
    assert (report.products, report.rejected, report.duplicate_names) == (3, 1, 1)
    assert report.longest_name == "Iced Tea"
    assert report.attributes == {"aisle": AttributeSummary(3, 2, False), "note": AttributeSummary(0, 0, False)}
    assert [reject.line for reject in report.rejects] == [5]
    assert not report.usable


def test_a_catalog_with_as_many_rejects_as_allowed_is_usable(tmp_path: Path) -> None:
    assert check(written(tmp_path, ["1,Beans,,", ",Tea,,"]), Columns(), max_rejects=1).usable


def test_a_report_keeps_the_first_thousand_rejects_and_counts_all(tmp_path: Path) -> None:
    report = check(written(tmp_path, ["1,Beans,,", *[",Tea,,"] * 1500]), Columns())
    assert (len(report.rejects), report.rejected) == (1000, 1500)


def test_distinct_values_are_counted_up_to_a_bound(tmp_path: Path) -> None:
    report = check(written(tmp_path, [f"{number},Tea,{number},x" for number in range(1200)]), Columns())
    assert report.attributes["aisle"] == AttributeSummary(1200, 1000, True)
    assert report.attributes["note"] == AttributeSummary(1200, 1, False)


def test_allowed_rejects_do_not_stop_a_run() -> None:
    raise_if_rejected([Reject(2, "the id is empty", ",Tea")], 1, Path("a.csv"))
    raise_if_rejected([], 0, Path("a.csv"))


def test_one_reject_too_many_stops_a_run_and_says_how_to_go_on() -> None:
    rejects = [Reject(line, "the id is empty", ",Tea") for line in range(2, 32)]
    with pytest.raises(InputError) as caught:
        raise_if_rejected(rejects, 29, Path("a.csv"))
    message = str(caught.value)
    assert "a.csv: 30 rows were rejected, 29 allowed" in message
    assert "catalog.max_rejects to 30" in message
    assert "line 2: the id is empty (,Tea)" in message
    assert "line 21: " in message
    assert "line 22: " not in message
    assert "and 10 more" in message


def test_rejects_that_were_not_kept_are_counted() -> None:
    with pytest.raises(InputError, match="and 1,499 more"):
        raise_if_rejected([Reject(2, "the id is empty", ",Tea")], 0, Path("a.csv"), rejected=1500)


def test_rows_of_parquet_are_called_rows() -> None:
    with pytest.raises(InputError, match="row 2: the id is empty"):
        raise_if_rejected([Reject(2, "the id is empty", "")], 0, Path("a.parquet"))
