"""Whatever a model prefers, its draft becomes an answer that names real, available products."""

from __future__ import annotations

import numpy as np
import pytest

from skutune import answers
from skutune.decoding.draft import Draft, Grammar, Limits
from skutune.decoding.vocabulary import Vocabulary
from skutune.errors import InputError

from .conftest import HOSTILE

NAMED = ["\n", "(", "clos", "est", " product", ":", " *", ")", "\n\n\n", "."]


def write(draft, vocabulary, rng, favour=()):
    """Complete a draft with a model that draws at random, but likes some tokens."""
    liked = np.zeros(len(vocabulary))
    liked[[vocabulary.by_bytes[text.encode()] for text in favour]] = 14
    noise = rng.gumbel(size=len(vocabulary))
    while not draft.ended and draft.remaining:
        allowed = np.flatnonzero(draft.allowed())
        assert len(allowed)
        scores = np.roll(noise, len(draft.tokens) * 97)[allowed] + liked[allowed]
        draft.accept(int(allowed[scores.argmax()]))
    return answers.parse(draft.text())


@pytest.fixture(scope="module")
def grammar(vocabulary, hostile_trie):
    return Grammar(vocabulary, hostile_trie)


def test_hundreds_of_random_references_are_real_and_available(grammar, vocabulary):
    rng, catalog, seen, references = np.random.default_rng(1), set(HOSTILE), set(), 0
    grammar = Grammar(vocabulary, grammar.trie, min_items=3)
    for _ in range(90):
        gone = {product_id for product_id, _ in HOSTILE if rng.random() < rng.choice([0, 0.5, 0.9])}
        limits = Limits(grammar, int(rng.integers(240, 480)), gone)
        for item in write(Draft(limits), vocabulary, rng, NAMED).items:
            if item.product is not None:
                named = (item.product.id, item.product.name)
                assert named in catalog
                assert named[0] not in gone
                seen.add(named)
                references += 1
    assert references >= 200
    assert len(seen) >= len(HOSTILE) - 2


@pytest.mark.parametrize("spare", [0, 1, 2, 5, 20, 60])
def test_an_answer_ends_within_whatever_room_it_has(grammar, vocabulary, spare):
    rng = np.random.default_rng(spare)
    with pytest.raises(InputError, match="allow at least") as refused:
        Limits(grammar, 1)
    least = int(str(refused.value).split()[-1])
    for favour in ((), NAMED, (".",)):
        write(Draft(Limits(grammar, least + spare)), vocabulary, rng, favour)


def test_with_nothing_available_an_answer_names_no_product(grammar, vocabulary):
    limits = Limits(grammar, 200, {product_id for product_id, _ in HOSTILE})
    answer = write(Draft(limits), vocabulary, np.random.default_rng(0), NAMED)
    assert {item.product for item in answer.items} == {None}


def test_the_tokens_of_a_training_text_are_all_allowed(grammar, tokenizer):
    # Too long a name for 300 tokens is left out; a bracket that ends an id merges with the one behind it.
    products = [answers.Reference(*product) for product in HOSTILE if product[0] not in ("long", "12)", "12))")]
    for product in products:
        item = answers.Item("Beans", "They go well with it.", product)
        other = answers.Item("Slaw", "Crisp.", None)
        text = answers.render(answers.AnswerText("Both are fine.", (item, other), "Together they do."))
        draft = Draft(Limits(grammar, 300))
        for token in tokenizer(text, split_special_tokens=True)["input_ids"]:
            assert draft.allowed()[token], (product, draft.text(), tokenizer.decode([token]))
            draft.accept(token)
        assert draft.is_whole
        assert draft.text() == text


def test_a_token_that_is_not_allowed_is_refused(grammar, vocabulary):
    with pytest.raises(ValueError, match="not allowed"):
        Draft(Limits(grammar, 200)).accept(vocabulary.by_bytes[b"\n"])


def test_a_trie_of_another_tokenizer_is_refused(vocabulary, hostile_trie):
    other = Vocabulary((*vocabulary.tokens, b"more"), vocabulary.ends)
    with pytest.raises(InputError, match="another tokenizer"):
        Grammar(other, hostile_trie)
