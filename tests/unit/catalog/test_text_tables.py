"""Text tables as exports write them: quotes outside the standard, delimiters, encodings and empty rows."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from skutune.catalog import check, read
from skutune.catalog.notes import Note
from skutune.errors import InputError
from tests.catalog_settings import catalog_config


def names(rows) -> list[str]:
    return [product.name for product in rows.products]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (['1,"Oak top, 140 cm,x', '2,27" screen,x'], None),  # a comma inside the stray quote: too many fields
        (['1,"Oak top,x', "2,Desk,x", '3,27" screen,x'], ['"Oak top', "Desk", '27" screen']),
        (['1,"Oak top,x', "2,Desk,x"], ['"Oak top', "Desk"]),
        (['1,"Oak top,x', '2,"Desk, grey",x'], ['"Oak top', "Desk, grey"]),
        (['1,"Classic" lamp,x', "2,Desk,x"], ['"Classic" lamp', "Desk"]),
        (['1,"27" screen",x', "2,Desk,x"], ['27" screen', "Desk"]),
        (['1,"27"" screen",x'], ['27" screen']),
        (['1,"Oak,', 'solid",x'], ["Oak, solid"]),
        (['1,"Oak', "", 'solid",x', "2,Desk,x"], ["Oak solid", "Desk"]),
        (['1,"""Classic"" lamp",x', '2,"",x'], ['"Classic" lamp']),
    ],
)
def test_a_stray_quote_does_not_swallow_products(catalog, rows: list[str], expected: list[str] | None) -> None:
    found = catalog("\n".join(["id,name,brand", *rows, "9,Last,x"]) + "\n")
    if expected is None:
        assert names(found) == ['27" screen', "Last"]
        (reject,) = found.rejects
        assert (reject.line, reject.reason.split(";")[0]) == (
            2,
            "a quote opens here and is not closed at the end of the field",
        )
    else:
        assert names(found) == [*expected, "Last"]


def test_stray_quotes_are_counted_and_the_lines_stay_right(catalog) -> None:
    found = catalog('id,name,brand\n1,"Oak,x\n2,Desk,x\n3,27" screen,x\n,Tea,x\n')
    assert found.reader.notes.counts == {Note.STRAY_QUOTES: 1}
    assert found.reader.notes.lines[Note.STRAY_QUOTES] == [2]
    assert [reject.line for reject in found.rejects] == [5]


def test_a_product_keeps_its_own_attributes_after_a_stray_quote(catalog) -> None:
    found = catalog('id\tname\tbrand\n1\t"Solid oak\tLumo\n2\tScreen 27"\tVistra\n', "a.tsv")
    assert [product.attributes["brand"] for product in found.products] == ["Lumo", "Vistra"]


def test_quoting_none_keeps_every_quote(catalog) -> None:
    found = catalog('id,name\n1,"Tea"\n2,"Oak\n3,Corn"\n', settings={"quoting": "none"})
    assert names(found) == ['"Tea"', '"Oak', 'Corn"']


def test_quoting_standard_rejects_a_row_that_does_not_follow_it(catalog) -> None:
    found = catalog('id,name\n1,"Classic" lamp\n2,Tea\n', settings={"quoting": "standard"})
    assert names(found) == ["Tea"]
    assert "text follows a closing quote" in found.rejects[0].reason


def test_quoting_standard_keeps_a_field_over_lines_that_have_all_columns(catalog) -> None:
    content = 'id,name,note\n1,Tea,"a\n2,b,c\n3,d,e"\n'
    assert len(catalog(content).products) == 3
    (product,) = catalog(content, settings={"quoting": "standard"}).products
    assert product.attributes == {"note": "a 2,b,c 3,d,e"}


@pytest.mark.parametrize("seed", range(30))
def test_rows_of_random_quotes_are_read_or_rejected_one_by_one(catalog, seed: int) -> None:
    chosen = random.Random(seed)
    rows = [f"{number}," + "".join(chosen.choices('ab" ', k=6)) + ",x" for number in range(40)]
    found = catalog("\n".join(["id,name,brand", *rows]) + "\n")
    lines = [reject.line for reject in found.rejects]
    assert len(found.products) + len(lines) == 40
    assert [int(product.id) for product in found.products] == [n for n in range(40) if n + 2 not in lines]


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.txt"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_detected_whatever_the_suffix(catalog, name: str, delimiter: str) -> None:
    rows = [["id", "name", "note"], ["1", "Tea", "hot"], ["2", "Corn", "x"]]
    found = catalog("\n".join(delimiter.join(row) for row in rows), name)
    assert names(found) == ["Tea", "Corn"]


def test_a_configured_delimiter_is_used(catalog) -> None:
    assert names(catalog("id~name\n1~Tea, black\n", settings={"delimiter": "~"})) == ["Tea, black"]


def test_the_columns_decide_between_delimiters(catalog) -> None:
    found = catalog("id;name;price, EUR, net\n1;Tea;2\n", "a.csv")
    assert found.products[0].attributes == {"price, EUR, net": "2"}


@pytest.mark.parametrize(("stated", "delimiter"), [("sep=;", ";"), ('"sep=,"', ","), ("SEP=\t", "\t")])
def test_a_separator_line_states_the_delimiter_and_is_no_header(catalog, stated: str, delimiter: str) -> None:
    found = catalog(f"{stated}\r\nid{delimiter}name\r\n1{delimiter}Tea\r\n2\r\n")
    assert names(found) == ["Tea"]
    assert [reject.line for reject in found.rejects] == [4]


def test_rows_of_delimiters_alone_are_skipped_and_counted(catalog) -> None:
    found = catalog("id,name,note\n1,Tea,\n,,\n, ,\n2,Corn,\n")
    assert (names(found), found.rejects) == (["Tea", "Corn"], [])
    assert found.reader.notes.counts[Note.EMPTY_ROWS] == 2


def test_unnamed_columns_at_the_end_are_dropped_unless_a_row_fills_them(catalog) -> None:
    found = catalog("id,name,,\n1,Tea,,\n2,Corn,,x\n")
    assert names(found) == ["Tea"]
    assert found.rejects[0].reason == "too many fields: 4, the header has 2"


@pytest.mark.parametrize(
    ("encoding", "detected", "words"),
    [
        ("utf-8", "utf-8", ["Müsli", "Käse"]),
        ("utf-8-sig", "utf-8-sig", ["Müsli", "Käse"]),
        ("utf-16", "utf-16", ["Müsli", "味噌汁"]),
        ("utf-16-le", "utf-16-le", ["Müsli", "味噌汁"]),
        ("utf-16-be", "utf-16-be", ["Müsli", "味噌汁"]),
        ("utf-32", "utf-32", ["Müsli", "味噌汁"]),
        ("cp1252", "cp1252 (guessed)", ["Müsli", "Frühstück", "Crème brûlée", "Jalapeño"]),
        ("cp1250", "cp1250 (guessed)", ["Žluťoučký", "česneková", "řepa", "mléko", "šunka", "sýr"]),
        ("cp1251", "cp1251 (guessed)", ["Печёная фасоль", "хлеб ржаной", "молоко", "сыр российский"]),
        ("cp1254", "cp1254 (guessed)", ["şeker", "ıspanak", "yoğurt", "çilek", "üzüm", "balık"]),
        ("cp932", "cp932 (guessed)", ["味噌汁", "醤油", "ラーメン", "牛乳", "豆腐", "納豆"]),
        ("gb18030", "gb18030 (guessed)", ["酱油", "米饭", "面条", "牛奶", "豆腐", "苹果"]),
        ("cp949", "cp949 (guessed)", ["간장", "우유", "두부", "사과", "바나나", "김치"]),
    ],
)
def test_the_encoding_is_detected(catalog, encoding: str, detected: str, words: list[str]) -> None:
    rows = "".join(f"{number},{word}\r\n" for number, word in enumerate(words))
    found = catalog(("id,name\r\n" + rows).encode(encoding))
    assert names(found) == words
    assert found.reader.dialect == f"{detected}, delimiter comma"


def test_a_configured_encoding_is_used(catalog) -> None:
    content = "id,name\n1,Crème\n".encode("mac-roman")
    assert names(catalog(content, settings={"encoding": "mac-roman"})) == ["Crème"]
    assert names(catalog("id,name\n1,Tea\n".encode("utf-8-sig"), settings={"encoding": "utf-8"})) == ["Tea"]


def test_a_json_file_holds_an_object_a_line(catalog) -> None:
    assert names(catalog('{"id": 1, "name": "Tea"}\n{"id": 2, "name": "Corn"}\n', "a.json")) == ["Tea", "Corn"]


def test_a_column_with_a_colon_can_be_part_of_a_name(catalog) -> None:
    content = "id\ttitle\tsize (w:h)\n1\tDesk\t2:1\n"
    assert names(catalog(content, "a.tsv", name="{title} {size (w:h)}")) == ["Desk 2:1"]


def test_a_missing_column_states_how_the_file_was_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("sku;title\n1;Tea\n", encoding="utf-8")
    with pytest.raises(
        InputError, match=r"\(utf-8, delimiter semicolon\): the header on line 1 has the columns sku, title"
    ):
        read(path, catalog_config())


def test_a_report_states_the_dialect(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("id;name\n1;Müsli\n2;Frühstück\n".encode("cp1252"))
    assert check(path, catalog_config()).dialect == "cp1252 (guessed), delimiter semicolon"
