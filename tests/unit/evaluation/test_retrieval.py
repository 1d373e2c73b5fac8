"""A search finds products for a question and answers in the format."""

import numpy as np

from skutune.answer_format import Reference, parse
from skutune.engines.scripted.encoder import ScriptedEncoder
from skutune.evaluation.retrieval import VectorSearch, WordSearch, document, render_found
from skutune.records import Product

DOCUMENTS = (
    "Baked Beans Beans in a sweet sauce.",
    "Coleslaw Crunchy cabbage salad.",
    "Bean Salad Three kinds of beans with onions.",
    "Sparkling Water",
)


def test_words_find_products_best_first_and_in_any_number():
    search = WordSearch(DOCUMENTS)
    assert search.find(["What goes with baked beans?", "Which salads are crunchy?"], 2) == [[0, 2], [1, 2]]


def test_nothing_in_common_finds_nothing():
    search = WordSearch(DOCUMENTS)
    assert search.find(["Where is my car?", "", "what should I buy?"], 3) == [[], [], []]


def test_a_catalog_without_words_finds_nothing():
    assert WordSearch(["!!!", ""]).find(["beans"], 3) == [[]]


def test_vectors_find_the_nearest_names():
    encoder = ScriptedEncoder()
    names = np.asarray(encoder.encode(["Baked Beans", "Coleslaw", "Sparkling Water"]))
    assert [found[0] for found in VectorSearch(names, encoder).find(["baked beans", "coleslaw"], 2)] == [0, 1]
    assert VectorSearch(names, encoder).find([], 2) == []


def test_what_was_found_is_an_answer_in_the_format():
    product = Reference("7", "Ale: id 3 (Dark)")
    assert [item.product for item in parse(render_found([product])).items] == [product]
    assert [item.product for item in parse(render_found([])).items] == [None]


def test_words_are_searched_in_attributes_and_descriptions_too():
    product = Product("1", "Ale", {"aisle": "beers"}, "k")
    assert document(product, "A dark one.") == "Ale beers A dark one."
    assert document(product, None).strip() == "Ale beers"
