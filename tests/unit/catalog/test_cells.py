"""Cells of an export as text: HTML, entities, nested JSON, links, placeholders, long attributes and marked ids."""

from __future__ import annotations

import json

import pytest

from skutune.catalog.notes import Note


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("Mac &amp; Cheese, 12&quot; Tray &#8211; Family", 'Mac & Cheese, 12" Tray – Family'),
        ("<p>Creamy.</p><p>Heat &amp; serve.</p>", "Creamy. Heat & serve."),
        ("A light <strong>linen</strong> shirt", "A light linen shirt"),
        ("H<sub>2</sub>O", "H2O"),
        ("One<br/>two<BR>three", "One two three"),
        ("<script>var x=1;</script>Heat<style>p {}</style>", "Heat"),
        ("<!-- hidden -->Shown", "Shown"),
        ("&lt;p&gt;Creamy &amp;amp; soft&lt;/p&gt;", "Creamy & soft"),
        ("width < 5 and > 3", "width < 5 and > 3"),
        ("for <M and >L", "for <M and >L"),
        ("AT&T, R&D; x&region=US", "AT&T, R&D; x&region=US"),
        ("a < b <b>bold</b> &copy tea", "a < b bold &copy tea"),
        ("<ul><li>one</li><li>two</li></ul>", "one two"),
        ("https://example.com/a.jpg", ""),
        ("https://example.com/a.jpg, https://example.com/b.jpg", ""),
        ("see https://example.com", "see https://example.com"),
        ("NULL", ""),
        ("\\N", ""),
        ("Default Title", ""),
        ('["Grocery", "Pasta"]', "Grocery, Pasta"),
        ("['Grocery', 'Pasta']", "Grocery, Pasta"),
        ('{"UPC": "0123", "Weight": 5}', "UPC: 0123; Weight: 5"),
        ('[{"thumb": "https://example.com/1.jpg", "variant": "MAIN"}]', ""),
        ("[2]", "[2]"),
        ("[new] tea", "[new] tea"),
    ],
)
def test_a_cell_becomes_text(catalog, cell: str, text: str) -> None:
    line = json.dumps({"id": 1, "name": "Tea", "note": cell})
    assert catalog(line, "a.jsonl").products[0].attributes == ({"note": text} if text else {})


def test_nested_objects_become_fields_and_media_records_are_left_out(catalog) -> None:
    row = {
        "id": 1,
        "name": "Tea",
        "details": {"UPC": "0123", "Size": {"w": 2, "h": None}},
        "images": [{"thumb": "https://example.com/1.jpg", "variant": "MAIN"}],
        "tags": ["<b>hot</b>", "NULL"],
    }
    found = catalog(json.dumps(row), "a.jsonl")
    assert found.products[0].attributes == {"details": "UPC: 0123; Size: w: 2", "tags": "hot"}
    assert set(found.reader.notes.counts) == {Note.LINKS, Note.MARKUP, Note.PLACEHOLDERS}


def test_names_lose_markup_too(catalog) -> None:
    (product,) = catalog("id,name\n1,<b>Mac</b> &amp; Cheese\n").products
    assert product.name == "Mac & Cheese"


def test_markup_is_kept_on_request(catalog) -> None:
    (product,) = catalog("id,name,note\n1,A &amp; B,<p>NULL</p>\n", settings={"markup": "keep"}).products
    assert (product.name, product.attributes) == ("A &amp; B", {"note": "<p>NULL</p>"})


@pytest.mark.parametrize(
    ("cell", "product_id"), [('"=""00417"""', "00417"), ("'00417", "00417"), ("'abc", "'abc"), ("1E5", "1E5")]
)
def test_spreadsheet_marks_are_removed_from_ids(catalog, cell: str, product_id: str) -> None:
    assert catalog(f"id,name\n{cell},Tea\n").products[0].id == product_id


def test_a_long_attribute_is_cut_after_a_sentence(catalog) -> None:
    text = "A strong hose. " * 20
    found = catalog(f"id,name,note\n1,Hose,{text}\n", settings={"attribute_characters": 100})
    assert found.products[0].attributes == {"note": ("A strong hose. " * 6).strip()}
    assert found.reader.notes.counts == {Note.ATTRIBUTE_CUT: 1}


def test_a_long_attribute_without_sentences_is_cut_after_a_word(catalog) -> None:
    found = catalog("id,name,note\n1,Hose," + "strong " * 20 + "\n", settings={"attribute_characters": 40})
    assert found.products[0].attributes == {"note": "strong strong strong strong strong…"}
    (one_word,) = catalog("id,name,note\n1,Hose," + "x" * 90 + "\n", settings={"attribute_characters": 40}).products
    assert one_word.attributes == {"note": "x" * 39 + "…"}
