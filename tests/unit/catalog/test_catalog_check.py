"""What `skutune catalog check` tells, and when rejected rows stop a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from skutune.catalog import AttributeSummary, check, raise_if_rejected
from skutune.errors import InputError
from skutune.records import Reject
from tests.catalog_settings import catalog_config


def written(folder: Path, rows: list[str]) -> Path:
    path = folder / "products.csv"
    path.write_text("\n".join(["id,name,aisle,note", *rows]) + "\n", encoding="utf-8")
    return path


def test_a_report_counts_products_attributes_and_names(tmp_path: Path) -> None:
    path = written(tmp_path, ["1,Beans,cans,", "2,beans ,cans,", "3,Iced Tea,drinks,", ",Corn,cans,"])
    report = check(path, catalog_config(attributes=("aisle", "note")))
    assert (report.products, report.rejected, report.duplicate_names) == (3, 1, 1)
    assert report.longest_name == "Iced Tea"
    assert report.attributes == {"aisle": AttributeSummary(3, 2, False), "note": AttributeSummary(0, 0, False)}
    assert [reject.line for reject in report.rejects] == [5]
    assert not report.usable


def test_a_catalog_with_as_many_rejects_as_allowed_is_usable(tmp_path: Path) -> None:
    assert check(written(tmp_path, ["1,Beans,,", ",Tea,,"]), catalog_config({"max_rejects": 1})).usable


def test_a_report_keeps_the_first_thousand_rejects_and_counts_all(tmp_path: Path) -> None:
    report = check(written(tmp_path, ["1,Beans,,", *[",Tea,,"] * 1500]), catalog_config())
    assert (len(report.rejects), report.rejected) == (1000, 1500)


def test_distinct_values_are_counted_up_to_a_bound(tmp_path: Path) -> None:
    report = check(written(tmp_path, [f"{number},Tea,{number},x" for number in range(1200)]), catalog_config())
    assert report.attributes["aisle"] == AttributeSummary(1200, 1000, True)
    assert report.attributes["note"] == AttributeSummary(1200, 1, False)


def raise_rejects(count: int, allowed: float, path: str = "a.csv", rows: int = 100) -> None:
    rejects = [Reject(line, "the id is empty", ",Tea") for line in range(2, 2 + count)]
    raise_if_rejected(rejects, count, rows, catalog_config({"max_rejects": allowed}), Path(path))


@pytest.mark.parametrize(("rejected", "allowed"), [(0, 0), (1, 1), (2, 0.02)])
def test_allowed_rejects_do_not_stop_a_run(rejected: int, allowed: float) -> None:
    raise_rejects(rejected, allowed)


def test_too_many_rejects_stop_a_run_with_the_first_ones() -> None:
    with pytest.raises(InputError) as caught:
        raise_rejects(30, 29)
    message = str(caught.value)
    assert "a.csv: 30 rows were rejected, 29 allowed" in message
    assert "catalog.max_rejects to 30" in message
    assert "line 2: the id is empty (,Tea)" in message
    assert "line 21: " in message
    assert "line 22: " not in message
    assert "and 10 more" in message


def test_max_rejects_below_one_is_a_share_of_the_rows() -> None:
    with pytest.raises(InputError, match="3 rows were rejected, 2 allowed"):
        raise_rejects(3, 0.02, rows=149)


def test_rejects_that_were_not_kept_are_counted() -> None:
    with pytest.raises(InputError, match="and 1,499 more"):
        raise_if_rejected([Reject(2, "the id is empty", ",Tea")], 1500, 2000, catalog_config(), Path("a.csv"))


def test_parquet_rejects_name_rows_instead_of_lines() -> None:
    with pytest.raises(InputError, match="row 2: the id is empty"):
        raise_rejects(1, 0, "a.parquet")


def suspicions(tmp_path: Path, rows: list[str], **columns: object) -> list[str]:
    return list(check(written(tmp_path, rows), catalog_config(**columns)).suspicions)


def test_decimal_ids_are_suspicious_if_all_are(tmp_path: Path) -> None:
    assert any('end in ".0"' in text for text in suspicions(tmp_path, ["1.0,Tea,a,b", "2.0,Corn,a,b"]))
    assert suspicions(tmp_path, ["1.0,Tea,a,b", "2.5,Corn,a,b"]) == []


def test_an_empty_part_of_the_name_is_counted(tmp_path: Path) -> None:
    (text,) = suspicions(tmp_path, ["1,Tea,black,", "2,Corn,,", "3,Beans,baked,"], name="{name} {aisle}")
    assert text.startswith("the name lacks {aisle} in 1 of 3 products")


def test_ten_products_of_one_name_are_suspicious(tmp_path: Path) -> None:
    rows = [f"{number},Gift Card,," for number in range(10)]
    assert any("10 products share the name 'Gift Card'" in text for text in suspicions(tmp_path, rows))
    assert suspicions(tmp_path, rows[1:]) == []


def test_attributes_of_one_value_or_of_all_different_values_are_suspicious(tmp_path: Path) -> None:
    rows = [f"{number},Tea {number},EUR,{number * 7}" for number in range(30)]
    found = suspicions(tmp_path, rows)
    assert any(text.startswith("aisle: the same value for all products") for text in found)
    assert any(text.startswith("note: a different value for each product") for text in found)
    mixed = [f"{number},Tea {number},{number % 3},{number % 7}" for number in range(30)]
    assert suspicions(tmp_path, mixed) == []


def test_a_column_of_thousands_of_different_values_is_suspicious(tmp_path: Path) -> None:
    rows = [f"{number},Tea {number},{number},{number % 1200}" for number in range(3000)]
    found = suspicions(tmp_path, rows)
    assert [text.split(":")[0] for text in found] == ["aisle"]


def test_changes_name_their_first_lines(tmp_path: Path) -> None:
    rows = [*["1,Tea,a,<p>x</p>"], *[f"{number},Corn,a,b" for number in range(2, 5)], "9,A &amp; B,,"]
    (change,) = check(written(tmp_path, rows), catalog_config()).changes
    assert (change.rows, change.lines) == (2, (2, 6))
    assert "HTML tags or entities removed" in change.note
