"""A faulty row becomes a reject with its line and reason, and the rows around it are read."""

from __future__ import annotations

import csv

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skutune.catalog import read
from skutune.records import Reject
from tests.catalog_settings import catalog_config


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (",Beans", "the id is empty"),
        ("  ,Beans", "the id is empty"),
        ("2,", "the name is empty"),
        ("2, \t ", "the name is empty"),
        ("2 3,Beans", "the id '2 3' contains white space or a control character"),
        ("2\x003,Beans", "white space or a control character"),
        ("2\u200b,Beans", "white space or a control character"),
        ("2", "too few fields: 1, the header has 2"),
        ("2,Beans,cans", "too many fields: 3, the header has 2"),
        ('2,"Beans, baked" x', "text follows a closing quote"),
        ("2," + "b" * 301, "the name has 301 characters, more than 300"),
        ("2," + "b" * 200_000, "the name has 200,000 characters, more than 300; is it a description?"),
        ("4.00564E+12,Beans", "the id 4.00564E+12 is a number that lost its digits"),
    ],
)
def test_a_faulty_row_is_rejected_with_its_line_and_reason(catalog, row: str, reason: str) -> None:
    found = catalog(f"id,name\n1,Tea\n{row}\n4,Corn\n")
    assert [product.id for product in found.products] == ["1", "4"]
    (reject,) = found.rejects
    assert reject.line == 3
    assert reason in reject.reason
    assert len(reject.content) <= 200


def test_the_content_of_a_reject_is_its_row_on_one_line(catalog) -> None:
    (reject,) = catalog('id,name,note\n1,Tea,\n,Beans,"a\nb"\n').rejects
    assert reject.content == ',Beans,"a b"'


@pytest.mark.parametrize("second", ["7", " 7 ", "\u00a07"])
def test_a_doubled_id_names_the_line_of_the_first(catalog, second: str) -> None:
    (reject,) = catalog(f"id,name\n6,Tea\n7,Corn\n8,Beans\n{second},Beans\n").rejects
    assert reject.line == 5
    assert reject.reason == "the id '7' is a duplicate of line 3"


def test_ids_that_differ_in_leading_zeros_or_case_are_different(catalog) -> None:
    found = catalog("id,name\n7,Tea\n007,Tea\na,Tea\nA,Tea\n")
    assert [product.id for product in found.products] == ["7", "007", "a", "A"]


def test_lines_are_those_of_the_file_after_quoted_line_breaks_and_blank_lines(catalog) -> None:
    found = catalog('id,name\r\n1,"Baked\r\nBeans"\r\n\r\n2,"Cole\n\nslaw"\n,Tea\n')
    assert [product.name for product in found.products] == ["Baked Beans", "Cole slaw"]
    assert [reject.line for reject in found.rejects] == [8]


def test_a_miscounted_row_over_several_lines_asks_for_the_quote(catalog) -> None:
    (reject,) = catalog('id,name,aisle\n1,Tea,\n2,"Baked\nBeans"\n').rejects
    assert reject.line == 3
    assert reject.reason == "too few fields: 2, the header has 3; the row runs over 2 lines: is a quote not closed?"


def test_what_follows_a_faulty_quote_is_read(catalog) -> None:
    found = catalog('id,name\n1,"Beans" x\n2,"Tea, black"\n')
    assert [product.name for product in found.products] == ['"Beans" x', "Tea, black"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"id": 2, "name": "Beans"', "not JSON"),
        ("nonsense", "not JSON: Expecting value at character 1"),
        ('{"id": 2, "id": 3, "name": "Beans"}', "duplicate key 'id'"),
        ('{"id": 2, "name": ' + "[" * 100_000, "nested too deeply"),
        ('{"id": ' + "9" * 5_000 + ', "name": "Beans"}', "not usable JSON"),
        ('{"id": true, "name": "Beans"}', "the id is a boolean"),
        ('{"id": [2], "name": "Beans"}', "the id is a list"),
        ('{"id": {"a": 2}, "name": "Beans"}', "the id is a nested object"),
        ('{"id": null, "name": "Beans"}', "the id is empty"),
        ('{"id": NaN, "name": "Beans"}', "the id is empty"),
        ('{"name": "Beans"}', "the id is empty"),
        ('{"id": 2}', "the name is empty"),
        ('{"id": 12345678901234567890.0, "name": "Beans"}', "a float too large to be exact"),
        ('{"id": "\\ud800", "name": "Beans"}', "control character"),
    ],
)
def test_a_faulty_json_line_is_rejected(catalog, line: str, reason: str) -> None:
    found = catalog(f'{{"id": 1, "name": "Tea"}}\n{line}\n{{"id": 4, "name": "Corn"}}\n', "a.jsonl")
    assert [product.id for product in found.products] == ["1", "4"]
    (reject,) = found.rejects
    assert reject.line == 2
    assert reason in reject.reason


def test_a_parquet_reject_names_its_row(tmp_path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": [5, None, 5], "name": ["Tea", "Corn", "Beans"]}), path)
    rejects = [row for row in read(path, catalog_config()) if isinstance(row, Reject)]
    assert [(reject.line, reject.reason) for reject in rejects] == [
        (2, "the id is empty"),
        (3, "the id '5' is a duplicate of row 1"),
    ]


def test_reading_leaves_the_csv_module_as_it_was(catalog) -> None:
    before = csv.field_size_limit()
    catalog("id,name\n1,Tea\n")
    assert csv.field_size_limit() == before
