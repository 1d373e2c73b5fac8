"""Rows that describe one product together: variants with inherited cells, and repeated ids that are merged."""

from __future__ import annotations

import pytest

from skutune.catalog.notes import Note
from skutune.errors import InputError

SHOP = """handle,title,vendor,option,sku,price
shirt,Linen Shirt,North,S,LS-S,39
shirt,,,M,LS-M,
shirt,,,,,
stool,Oak Stool,Timber,,OS,89
"""
COLUMNS = {"id": "sku", "name": "{title} {option}"}


def test_variants_inherit_the_cells_that_describe_the_product(catalog) -> None:
    found = catalog(SHOP, **COLUMNS)
    assert [(product.id, product.name) for product in found.products] == [
        ("LS-S", "Linen Shirt S"),
        ("LS-M", "Linen Shirt M"),
        ("OS", "Oak Stool"),
    ]
    assert [product.attributes["vendor"] for product in found.products] == ["North", "North", "Timber"]
    assert found.reader.group == "handle"
    assert found.reader.notes.counts[Note.INHERITED] == found.reader.notes.counts[Note.NO_VARIANT] == 1


def test_a_cell_that_variants_fill_themselves_is_not_inherited(catalog) -> None:
    content = SHOP.replace("shirt,,,M,LS-M,\n", "shirt,,,M,LS-M,\nshirt,,,L,LS-L,45\n")
    prices = {product.id: product.attributes.get("price") for product in catalog(content, **COLUMNS).products}
    assert prices == {"LS-S": "39", "LS-M": None, "LS-L": "45", "OS": "89"}


def test_inheriting_can_be_turned_off(catalog) -> None:
    found = catalog(SHOP, settings={"inherit": "none"}, **COLUMNS)
    assert [product.name for product in found.products] == ["Linen Shirt S", "M", "Oak Stool"]
    assert [reject.reason for reject in found.rejects] == ["the id is empty"]


def test_a_configured_group_column_must_exist(catalog) -> None:
    with pytest.raises(InputError, match=r"catalog\.inherit: column 'Handel' is missing"):
        catalog(SHOP, settings={"inherit": "Handel"}, **COLUMNS)


def test_a_missing_name_is_no_variant(catalog) -> None:
    found = catalog("id,name,aisle\n1,Tea,drinks\n2,,drinks\n3,Corn,cans\n")
    assert [product.id for product in found.products] == ["1", "3"]
    assert found.rejects[0].reason == "the name is empty"


def test_further_rows_with_the_same_id_and_no_name_are_skipped(catalog) -> None:
    found = catalog("id,name,image\n1,Tea,a\n1,,b\n1,,c\n2,Corn,d\n", attributes=[])
    assert ([product.id for product in found.products], found.rejects) == (["1", "2"], [])
    assert found.reader.notes.counts == {Note.NO_VARIANT: 2}


def test_repeated_ids_are_merged_on_request(catalog) -> None:
    content = "id,name,aisle\n1,Tea,drinks\n2,Corn,cans\n1,Tea,breakfast\n1,Black Tea,drinks\n"
    found = catalog(content, settings={"duplicates": "merge"})
    assert [(product.id, product.name, product.attributes) for product in found.products] == [
        ("1", "Tea", {"aisle": "drinks, breakfast"}),
        ("2", "Corn", {"aisle": "cans"}),
    ]
    assert found.reader.notes.lines[Note.MERGED] == [4, 5]
