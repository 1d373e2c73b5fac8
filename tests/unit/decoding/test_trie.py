"""The trie accepts exactly the catalog's references."""

from __future__ import annotations

import numpy as np
import pytest
from hostile_names import HOSTILE
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skutune.decoding.trie import TokenTrie, build_trie
from skutune.errors import InputError

NOTHING = np.array([], np.int32)
_NAMES = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"], max_codepoint=0x1FAFF), max_size=8)
_WORDS = st.sampled_from(["Baked", "Beans", "Baked Beans", ": id 1", ")", "é", "🍮"])
_IDS = st.text(st.sampled_from("012)x:"), min_size=1, max_size=4)
_CATALOGS = st.dictionaries(_IDS, st.tuples(_WORDS, _NAMES).map(lambda parts: "".join(parts).strip()), max_size=12)


def written(trie, vocabulary, stock=None, node=0, depth=0, text=b""):
    """All that can be written from a node on."""
    stock = trie.stock_without(NOTHING) if stock is None else stock
    found = [text.decode()] if node and trie.ends_at(node, depth, stock) else []
    for child in trie.living_children(node, stock):
        longer = text + vocabulary.tokens[trie.tokens[child]]
        found += written(trie, vocabulary, stock, int(child), depth + 1, longer)
    return found


def references(products):
    return sorted(f" {name}: id {product_id}" for product_id, name in products)


def test_the_trie_writes_exactly_the_catalogs_references(hostile_trie, vocabulary):
    assert sorted(written(hostile_trie, vocabulary)) == references(HOSTILE)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(catalog=_CATALOGS, data=st.data())
def test_any_catalog_is_written_exactly_and_without_what_is_unavailable(tokenizer, vocabulary, catalog, data):
    # A regular-space edge is trimmed above; other white space may lie inside a name.
    products = [(product_id, name) for product_id, name in catalog.items() if name]
    trie = build_trie(products, tokenizer, vocabulary)
    gone = data.draw(st.sets(st.sampled_from(sorted(catalog) or ["none"])))
    left = [product for product in products if product[0] not in gone]
    leaves = trie.leaves_of(gone)
    assert sorted(written(trie, vocabulary, trie.stock_without(leaves))) == references(left)
    assert sorted(written(trie, vocabulary, trie.stock(leaves))) == references(set(products) - set(left))


def test_a_trie_that_is_saved_and_loaded_is_the_same(hostile_trie, vocabulary, tmp_path):
    hostile_trie.save(tmp_path / "trie")
    loaded = TokenTrie.load(tmp_path / "trie")
    assert written(loaded, vocabulary) == written(hostile_trie, vocabulary)
    assert (loaded.ids, loaded.vocabulary_digest) == (hostile_trie.ids, hostile_trie.vocabulary_digest)


def test_names_are_tokenised_as_behind_the_marker(hostile_trie, tokenizer):
    text = tokenizer("(closest product: Baked Beans: id 32717")["input_ids"]
    node = 0
    for token in text[len(tokenizer("(closest product:")["input_ids"]) :]:
        node = hostile_trie.child(node, token)
        assert node > 0


@pytest.mark.parametrize("product", [("1 2", "Beans"), ("", "Beans"), ("1", " Beans"), ("1", "a\nb"), ("1", "")])
def test_a_product_that_could_not_be_read_back_is_refused(tokenizer, vocabulary, product):
    with pytest.raises(InputError, match="cannot be named"):
        build_trie([product], tokenizer, vocabulary)


def test_an_id_that_occurs_twice_is_refused(tokenizer, vocabulary):
    with pytest.raises(InputError, match="product 1: its id occurs twice"):
        build_trie([("1", "Beans"), ("1", "Slaw")], tokenizer, vocabulary)


def test_a_folder_without_a_trie_says_so(tmp_path):
    with pytest.raises(InputError, match="has no trie"):
        TokenTrie.load(tmp_path)
