"""The trie contains exactly the catalog's references."""

from __future__ import annotations

import numpy as np
import pytest
from hostile_names import HOSTILE
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skutune.decoding.trie import TokenTrie, build_trie
from skutune.errors import InputError

NO_LEAVES = np.array([], np.int32)
_NAMES = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"], max_codepoint=0x1FAFF), max_size=8)
_WORDS = st.sampled_from(["Baked", "Beans", "Baked Beans", ": id 1", ")", "é", "🍮"])
_IDS = st.text(st.sampled_from("012)x:"), min_size=1, max_size=4)
_CATALOGS = st.dictionaries(_IDS, st.tuples(_WORDS, _NAMES).map(lambda parts: "".join(parts).strip()), max_size=12)


def all_references(trie, vocabulary, available=None, node=0, depth=0, text=b""):
    """All references of available products below a node."""
    available = trie.availability_without(NO_LEAVES) if available is None else available
    texts = [text.decode()] if node and trie.ends_at(node, depth, available) else []
    for child in trie.available_children(node, available):
        longer = text + vocabulary.tokens[trie.tokens[child]]
        texts += all_references(trie, vocabulary, available, int(child), depth + 1, longer)
    return texts


def references(products):
    return sorted(f" {name}: id {product_id}" for product_id, name in products)


def test_the_trie_contains_exactly_the_catalogs_references(hostile_trie, vocabulary):
    assert sorted(all_references(hostile_trie, vocabulary)) == references(HOSTILE)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(catalog=_CATALOGS, data=st.data())
def test_any_catalog_is_contained_exactly_without_its_unavailable_products(tokenizer, vocabulary, catalog, data):
    # Names are trimmed above; they may contain white space.
    products = [(product_id, name) for product_id, name in catalog.items() if name]
    trie = build_trie(products, tokenizer, vocabulary)
    unavailable = data.draw(st.sets(st.sampled_from(sorted(catalog) or ["none"])))
    remaining = [product for product in products if product[0] not in unavailable]
    leaves = trie.leaves_of(unavailable)
    assert sorted(all_references(trie, vocabulary, trie.availability_without(leaves))) == references(remaining)
    assert sorted(all_references(trie, vocabulary, trie.availability(leaves))) == references(
        set(products) - set(remaining)
    )


def test_saving_and_loading_preserves_a_trie(hostile_trie, vocabulary, tmp_path):
    hostile_trie.save(tmp_path / "trie")
    loaded = TokenTrie.load(tmp_path / "trie")
    assert all_references(loaded, vocabulary) == all_references(hostile_trie, vocabulary)
    assert (loaded.ids, loaded.vocabulary_digest) == (hostile_trie.ids, hostile_trie.vocabulary_digest)


def test_names_are_tokenised_as_after_the_marker(hostile_trie, tokenizer):
    text = tokenizer("(closest product: Baked Beans: id 32717")["input_ids"]
    node = 0
    for token in text[len(tokenizer("(closest product:")["input_ids"]) :]:
        node = hostile_trie.child(node, token)
        assert node > 0


@pytest.mark.parametrize("product", [("1 2", "Beans"), ("", "Beans"), ("1", " Beans"), ("1", "a\nb"), ("1", "")])
def test_a_product_whose_reference_does_not_parse_raises(tokenizer, vocabulary, product):
    with pytest.raises(InputError, match="cannot be referenced"):
        build_trie([product], tokenizer, vocabulary)


def test_a_duplicate_id_raises(tokenizer, vocabulary):
    with pytest.raises(InputError, match="product 1: duplicate id"):
        build_trie([("1", "Beans"), ("1", "Slaw")], tokenizer, vocabulary)


def test_a_folder_without_a_trie_raises(tmp_path):
    with pytest.raises(InputError, match="has no catalog trie"):
        TokenTrie.load(tmp_path)
