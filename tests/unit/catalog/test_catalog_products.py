"""What is read from a sound catalog: ids as text, names on one line, attributes in the user's order."""

from __future__ import annotations

import csv
import gzip
import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skutune.catalog import read
from skutune.hashing import content_key
from skutune.records import Product
from skutune.text import fold, words
from tests.catalog_settings import catalog_config


def test_the_key_is_made_of_id_name_and_attributes(catalog) -> None:
    (product,) = catalog("id,name,aisle\n7,Beans,cans\n").products
    assert product == Product("7", "Beans", {"aisle": "cans"}, content_key(["7", "Beans", {"aisle": "cans"}]))


def test_attributes_keep_the_users_order_and_leave_empty_values_out(catalog) -> None:
    content = "b,id,a,name,c\nx,1,y,Beans,\n"
    assert list(catalog(content).products[0].attributes.items()) == [("b", "x"), ("a", "y")]
    chosen = catalog(content, attributes=["c", "a", "b"]).products[0]
    assert list(chosen.attributes.items()) == [("a", "y"), ("b", "x")]


def test_no_attributes_may_be_wanted(catalog) -> None:
    assert catalog("id,name,aisle\n7,Beans,cans\n", attributes=[]).products[0].attributes == {}


def test_a_byte_order_mark_is_no_part_of_the_first_column(catalog) -> None:
    assert catalog("id,name\n7,Beans\n".encode("utf-8-sig")).products[0].id == "7"


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_every_line_end_is_read(catalog, line_end: str) -> None:
    found = catalog(line_end.join(["id,name", "1,Tea", "2,Corn", ""]))
    assert [product.id for product in found.products] == ["1", "2"]


def test_names_may_hold_quotes_commas_and_the_format_s_own_words(catalog) -> None:
    found = catalog('id,name\n1,"Dip: id 3, 6"" (closest)"\n2,6" Plate\n')
    assert [product.name for product in found.products] == ['Dip: id 3, 6" (closest)', '6" Plate']


def test_a_compressed_file_is_read(catalog) -> None:
    assert catalog(gzip.compress(b"id\tname\n1\tTea\n"), "a.tsv.gz").products[0].name == "Tea"


def test_leading_zeros_stay(catalog) -> None:
    assert catalog("id,name\n007,Tea\n").products[0].id == "007"


@pytest.mark.parametrize(
    ("value", "text"),
    [("7", "7"), (7, "7"), (7.0, "7"), (7.5, "7.5"), (10**20, "1" + "0" * 20), (-3, "-3"), (" 07 ", "07")],
)
def test_an_id_of_any_type_becomes_text(catalog, value: object, text: str) -> None:
    assert catalog(json.dumps({"id": value, "name": "Tea"}), "a.jsonl").products[0].id == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (["a", "b\nc", None], "a, b c"),
        ({"unit": "g", "amount": 5}, "unit: g; amount: 5"),
        ([("unit", "g")], "unit, g"),
        (True, "true"),
        (3.0, "3"),
        (2.5, "2.5"),
        ("  two\n lines ", "two lines"),
    ],
)
def test_an_attribute_of_any_type_becomes_text(catalog, value: object, text: str) -> None:
    line = json.dumps({"id": 1, "name": "Tea", "value": value})
    assert catalog(line, "a.jsonl").products[0].attributes == {"value": text}


@pytest.mark.parametrize("value", [None, "", "  ", [], {}, float("nan")])
def test_an_empty_value_is_no_attribute(catalog, value: object) -> None:
    line = json.dumps({"id": 1, "name": "Tea", "value": value})
    assert catalog(line, "a.ndjson").products[0].attributes == {}


def test_json_objects_may_leave_keys_out(catalog) -> None:
    found = catalog('{"id": 1, "name": "Tea"}\n{"id": 2, "name": "Corn", "aisle": "cans"}\n', "a.jsonl")
    assert [product.attributes for product in found.products] == [{}, {"aisle": "cans"}]


def test_integers_that_parquet_holds_as_floats_are_integers_again(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": [123.0, 4.0], "name": ["Tea", "Corn"], "size": [2.0, None]}), path)
    products = list(read(path, catalog_config()))
    assert [(product.id, product.attributes) for product in products] == [("123", {"size": "2"}), ("4", {})]


def test_parquet_lists_dates_and_dotted_columns_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    day = pa.array([0], pa.date32())
    pq.write_table(pa.table({"id": ["1"], "name": ["Tea"], "tags": [["a", "b"]], "day.of": day}), path)
    (product,) = read(path, catalog_config())
    assert product.attributes == {"tags": "a, b", "day.of": "1970-01-01"}


@pytest.mark.parametrize(
    ("template", "row", "name"),
    [
        ("{brand} {type} {size}", "Acme,Beans,400 g", "Acme Beans 400 g"),
        ("{brand} {type} {size}", ",Beans,", "Beans"),
        ("{brand} {type} ({size})", "Acme,Beans,", "Acme Beans"),
        ("{brand} - {type}, {size}", ",Beans,400 g", "Beans, 400 g"),
        ("{brand} - {type}, {size}", "Acme,,400 g", "Acme - 400 g"),
        ("{brand} - {type}, {size}", "Acme,Beans,", "Acme - Beans"),
        ("{brand}: {type}", "Acme,Half-Fat,400 g", "Acme: Half-Fat"),
        ("Store {type}", ",Beans,", "Store Beans"),
    ],
)
def test_a_name_template_folds_empty_parts_away(tmp_path: Path, template: str, row: str, name: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"id,brand,type,size\n1,{row}\n", encoding="utf-8")
    assert [product.name for product in read(path, catalog_config(name=template))] == [name]


def test_only_who_reads_parquet_loads_pyarrow() -> None:
    code = "import sys, skutune.catalog; sys.exit('pyarrow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Whatever a shop writes, except what the files themselves cannot hold (lone surrogates).
_text = st.text(st.characters(codec="utf-8"), max_size=30)
# Without the marks of spreadsheets (="7", '7) and exponents, which are not part of an id.
_ids = st.text(st.characters(codec="utf-8", categories=["L", "N"], include_characters="-_.#/"), min_size=1, max_size=12)
_rows = st.lists(
    st.tuples(_ids, _text.filter(words), _text, _text), min_size=1, max_size=8, unique_by=lambda row: row[0]
)
_HEADER = ("id", "name", "aisle", "note")


def _csv(rows: list[tuple[str, ...]], delimiter: str) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows([_HEADER, *rows])
    return text.getvalue().encode()


def _jsonl(rows: list[tuple[str, ...]], ascii_only: bool) -> bytes:
    objects = (dict(zip(_HEADER, row, strict=True)) for row in rows)
    return "".join(json.dumps(item, ensure_ascii=ascii_only) + "\n" for item in objects).encode()


def _parquet(rows: list[tuple[str, ...]]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(dict(zip(_HEADER, zip(*rows, strict=True), strict=True))), sink)
    return sink.getvalue()


@given(_rows)
@settings(deadline=None, max_examples=60)
def test_the_same_catalog_in_every_format_is_the_same_products(rows: list[tuple[str, ...]]) -> None:
    expected = [
        (product_id, fold(name), {key: fold(text) for key, text in (("aisle", aisle), ("note", note)) if fold(text)})
        for product_id, name, aisle, note in rows
    ]
    contents = {
        "a.csv": _csv(rows, ","),
        "a.tsv": _csv(rows, "\t"),
        "a.jsonl": _jsonl(rows, ascii_only=True),
        "b.ndjson": _jsonl(rows, ascii_only=False),
        "a.parquet": _parquet(rows),
        "a.csv.gz": gzip.compress(_csv(rows, ",")),
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, content in contents.items():
            path = Path(folder) / name
            path.write_bytes(content)
            rows_read = read(path, catalog_config({"markup": "keep", "quoting": "standard"}))
            found = [(row.id, row.name, row.attributes) for row in rows_read if isinstance(row, Product)]
            assert found == expected, name
