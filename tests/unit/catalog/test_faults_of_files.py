"""A file that is no catalog as a whole is refused, and the error says what, where and what to do."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skutune.catalog import read
from skutune.errors import InputError
from tests.catalog_settings import catalog_config


def refusal(path: Path, **columns: object) -> str:
    with pytest.raises(InputError) as caught:
        list(read(path, catalog_config(**columns)))
    message = str(caught.value)
    assert str(path) in message
    return message


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "none.csv")


def test_a_folder_is_said(tmp_path: Path) -> None:
    assert "is a folder" in refusal(tmp_path)


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.parquet"])
def test_an_empty_file_is_said(tmp_path: Path, name: str) -> None:
    assert "is empty" in refusal(written(tmp_path, name, ""))


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl"])
def test_a_file_of_blank_lines_holds_no_products(tmp_path: Path, name: str) -> None:
    assert "no products" in refusal(written(tmp_path, name, "\n \n\n"))


def test_a_header_alone_holds_no_products(tmp_path: Path) -> None:
    assert "has no products" in refusal(written(tmp_path, "a.csv", "id,name\n"))


def test_a_parquet_file_without_rows_holds_no_products(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": pa.array([], pa.string()), "name": pa.array([], pa.string())}), path)
    assert "has no products" in refusal(path)


def test_rows_that_are_all_faulty_are_named(tmp_path: Path) -> None:
    message = refusal(written(tmp_path, "a.csv", "id,name\n,Beans\n2,\n"))
    assert "every row was rejected" in message
    assert "line 2: the id is empty" in message
    assert "line 3: the name is empty" in message


def test_damaged_utf8_names_the_line(tmp_path: Path) -> None:
    lines = ["id,name", *(f"{number},Café" for number in range(2, 20_000))]
    content = "\n".join(lines).encode() + b"\nx,Caf\xe9\ny,Tea"
    message = refusal(written(tmp_path, "a.csv", content))
    assert "line 20000: not UTF-8 text" in message
    assert "set catalog.encoding" in message


def test_the_damaged_line_is_right_in_a_compressed_file_too(tmp_path: Path) -> None:
    content = gzip.compress("id,name\n1,Thé\n2,".encode() + b"Caf\xe9\n")
    assert "line 3: not UTF-8" in refusal(written(tmp_path, "a.csv.gz", content))


def test_a_character_outside_the_configured_encoding_names_its_line(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", "id,name\n1,Tea\n2,Café\n".encode())
    with pytest.raises(InputError, match="line 3: not ascii text"):
        list(read(path, catalog_config({"encoding": "ascii"})))


@pytest.mark.parametrize("name", ["noise.csv", "noise.tsv", "noise.jsonl", "noise.parquet", "noise.csv.gz"])
@pytest.mark.parametrize("seed", range(5))
def test_noise_is_refused_whatever_its_name(tmp_path: Path, name: str, seed: int) -> None:
    refusal(written(tmp_path, name, random.Random(seed).randbytes(5_000)))


@pytest.mark.parametrize(
    ("start", "what"), [(b"PK\x03\x04", "Excel workbook"), (b"PAR1", "name it .parquet"), (b"\x1f\x8b", "add .gz")]
)
def test_another_format_under_a_text_name_is_recognised(tmp_path: Path, start: bytes, what: str) -> None:
    assert what in refusal(written(tmp_path, "a.csv", start + b"\x00" * 50))


def test_a_text_named_parquet_is_refused(tmp_path: Path) -> None:
    assert "not a parquet file" in refusal(written(tmp_path, "a.parquet", "id,name\n1,Beans\n"))


def test_a_parquet_file_that_was_cut_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": ["1"], "name": ["Beans"]}), path)
    path.write_bytes(path.read_bytes()[:-20])
    assert "corrupt" in refusal(path)


def test_a_parquet_file_with_damaged_pages_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": [str(i) for i in range(5000)], "name": ["Beans"] * 5000}), path)
    content = bytearray(path.read_bytes())
    content[4:2000] = b"\xff" * 1996
    path.write_bytes(content)
    assert "corrupt" in refusal(path)


def test_a_gzip_file_that_was_cut_is_refused(tmp_path: Path) -> None:
    lines = "".join(f"{number},Beans {random.Random(number).random()}\n" for number in range(9_000))
    content = gzip.compress(("id,name\n" + lines).encode())
    assert "not a complete gzip file" in refusal(written(tmp_path, "a.csv.gz", content[: len(content) // 2]))


@pytest.mark.parametrize("name", ["a.xlsx", "a.xml", "a", "a.gz", "a.parquet.gz"])
def test_an_unknown_suffix_names_the_known_ones(tmp_path: Path, name: str) -> None:
    message = refusal(written(tmp_path, name, "id,name\n1,Beans\n"))
    assert "unknown format" in message
    assert ".csv, .tsv, .txt, .jsonl, .ndjson, .json" in message


def test_a_missing_column_suggests_the_near_one_and_lists_those_there(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", "product_id,product_name,aisle\n1,Beans,cans\n")
    message = refusal(path, id="product_id", name="product_nam", attributes=["aisel", "colour"])
    assert "column 'product_nam': is missing; did you mean 'product_name'?" in message
    assert "column 'aisel': is missing; did you mean 'aisle'?" in message
    assert "column 'colour': is missing; set catalog.columns" in message
    assert "product_id, product_name, aisle" in message


def test_a_missing_part_of_a_name_template_is_a_missing_column(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", "id,brand\n1,Acme\n")
    assert "column 'size': is missing" in refusal(path, name="{brand} {size}")


@pytest.mark.parametrize(
    ("name", "content"), [("a.jsonl", '{"id": 1, "title": "Beans"}\n'), ("a.tsv", "id\ttitle\n1\tBeans\n")]
)
def test_a_missing_column_is_found_in_other_formats(tmp_path: Path, name: str, content: str) -> None:
    assert "column 'name': is missing" in refusal(written(tmp_path, name, content))


def test_a_missing_column_is_found_in_parquet(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": ["1"], "title": ["Beans"]}), path)
    assert "column 'name': is missing" in refusal(path)


def test_a_doubled_column_is_said(tmp_path: Path) -> None:
    assert "column 'name': is duplicated" in refusal(written(tmp_path, "a.csv", "id,name, name\n1,Beans,Tea\n"))


def test_a_column_without_name_is_said_unless_the_attributes_are_listed(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", ",id,name\n0,1,Beans\n")
    assert "column 1: has no name" in refusal(path)
    assert len(list(read(path, catalog_config(attributes=())))) == 1


def test_a_json_list_is_refused_with_its_line(tmp_path: Path) -> None:
    content = '{"id": 1, "name": "Beans"}\n["2", "Tea"]\n'
    assert "line 2: is not a JSON object" in refusal(written(tmp_path, "a.jsonl", content))


@pytest.mark.parametrize("content", ['[{"id": 1, "name": "Beans"}]', '[\n  {"id": 1, "name": "Beans"}\n]\n'])
def test_one_list_around_all_is_refused(tmp_path: Path, content: str) -> None:
    assert "not a list" in refusal(written(tmp_path, "a.jsonl", content))


def test_an_unclosed_quote_in_the_header_is_said(tmp_path: Path) -> None:
    assert "line 1: the header cannot be read: a quote opens here" in refusal(
        written(tmp_path, "a.csv", 'id,"name\n1,Beans\n2,Tea\n')
    )


def test_a_line_beyond_all_measure_is_refused(tmp_path: Path) -> None:
    content = "id,name\n1," + "x" * 5_000_000
    assert "line 2: longer than" in refusal(written(tmp_path, "a.csv", content))
