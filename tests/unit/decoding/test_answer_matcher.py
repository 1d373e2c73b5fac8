"""Whatever a model prefers, its draft becomes an answer that names real, available products."""

from __future__ import annotations

import numpy as np
import pytest
from hostile_names import HOSTILE

from skutune import answer_format
from skutune.decoding.answer_matcher import AnswerMatcher, Limits
from skutune.decoding.masks import Grammar
from skutune.decoding.vocabulary import Vocabulary
from skutune.errors import InputError

from .writing import NAMED, write


@pytest.fixture(scope="module")
def grammar(vocabulary, hostile_trie):
    return Grammar(vocabulary, hostile_trie)


def test_hundreds_of_random_references_are_real_and_available(grammar, vocabulary):
    rng, catalog, seen, references = np.random.default_rng(1), set(HOSTILE), set(), 0
    grammar = Grammar(vocabulary, grammar.trie, min_items=3)
    for _ in range(90):
        gone = {product_id for product_id, _ in HOSTILE if rng.random() < rng.choice([0, 0.5, 0.9])}
        limits = Limits(grammar, int(rng.integers(240, 480)), gone)
        for item in write(AnswerMatcher(limits), vocabulary, rng, NAMED).items:
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
        write(AnswerMatcher(Limits(grammar, least + spare)), vocabulary, rng, favour)


def test_with_nothing_available_an_answer_names_no_product(grammar, vocabulary):
    limits = Limits(grammar, 200, {product_id for product_id, _ in HOSTILE})
    answer = write(AnswerMatcher(limits), vocabulary, np.random.default_rng(0), NAMED)
    assert {item.product for item in answer.items} == {None}


def test_the_tokens_of_a_training_text_are_all_allowed(grammar, tokenizer):
    # Too long a name for 300 tokens is left out; a bracket that ends an id merges with the one behind it.
    products = [answer_format.Reference(*product) for product in HOSTILE if product[0] not in ("long", "12)", "12))")]
    for product in products:
        item = answer_format.AnswerItem("Beans", "They go well with it.", product)
        other = answer_format.AnswerItem("Slaw", "Crisp.", None)
        text = answer_format.render(answer_format.AnswerText("Both are fine.", (item, other), "Together they do."))
        draft = AnswerMatcher(Limits(grammar, 300))
        for token in tokenizer(text, split_special_tokens=True)["input_ids"]:
            assert token in draft.choices().listed(), (product, draft.text(), tokenizer.decode([token]))
            draft.accept(token)
        assert draft.is_whole
        assert draft.text() == text


def test_a_token_that_is_not_allowed_is_refused(grammar, vocabulary):
    with pytest.raises(ValueError, match="not allowed"):
        AnswerMatcher(Limits(grammar, 200)).accept(vocabulary.by_bytes[b"\n"])


def test_a_trie_of_another_tokenizer_is_refused(vocabulary, hostile_trie):
    other = Vocabulary((*vocabulary.tokens, b"more"), vocabulary.ends)
    with pytest.raises(InputError, match="another tokenizer"):
        Grammar(other, hostile_trie)


def linked_answers(grammar, vocabulary, allowed, gone=(), rounds=12, max_tokens=420):
    """Answers of at least three recommendations; and the names that were asked for."""
    asked = []

    def ask(name):
        asked.append(name)
        return allowed(name)

    limits = Limits(Grammar(vocabulary, grammar.trie, min_items=3), max_tokens, gone)
    rngs = [np.random.default_rng(number) for number in range(rounds)]
    return [write(AnswerMatcher(limits, ask), vocabulary, rng, NAMED) for rng in rngs], asked


def test_a_slot_holds_only_what_is_allowed_for_its_recommendations_name(grammar, vocabulary):
    meant = {0: {"12"}, 1: {"12)", "9", "no such product"}, 2: set()}
    answers_, asked = linked_answers(grammar, vocabulary, lambda name: meant[len(name) % 3])
    items = [item for answer in answers_ for item in answer.items]
    assert asked == [item.name for item in items]
    assert {len(name) % 3 for name in asked} == {0, 1, 2}
    for item in items:
        if item.product is None:
            assert not meant[len(item.name) % 3]
        else:
            assert item.product.id in meant[len(item.name) % 3]


def test_what_is_allowed_but_unavailable_leaves_no_close_product(grammar, vocabulary):
    answers_, _ = linked_answers(grammar, vocabulary, lambda name: {"12", "9"}, gone={"12", "9"}, rounds=3)
    assert {item.product for answer in answers_ for item in answer.items} == {None}


def test_an_answer_names_a_product_once_while_another_is_allowed(grammar, vocabulary):
    twins = {"32717", "32718"}
    answers_, _ = linked_answers(grammar, vocabulary, lambda name: twins)
    for answer in answers_:
        first, second, *others = [item.product.id for item in answer.items]
        assert {first, second} == twins
        assert set(others) <= twins


def test_an_answer_from_the_weights_names_a_product_once_while_there_are_others(grammar, vocabulary):
    left = {"32717", "12", "12)"}
    grammar = Grammar(vocabulary, grammar.trie, min_items=4)
    limits = Limits(grammar, 400, {product_id for product_id, _ in HOSTILE} - left)
    for seed in range(12):
        answer = write(AnswerMatcher(limits), vocabulary, np.random.default_rng(seed), NAMED)
        named = [item.product.id for item in answer.items if item.product is not None]
        assert len(set(named[:3])) == len(named[:3])


def test_a_linked_answer_ends_within_little_room_too(grammar, vocabulary):
    answers_, _ = linked_answers(grammar, vocabulary, lambda name: {"12"} if len(name) % 2 else (), max_tokens=220)
    assert len(answers_) == 12


@pytest.mark.parametrize("mark", [".", "。", "！", "？"])
def test_a_line_that_has_used_its_share_ends_with_its_sentence(grammar, vocabulary, mark):
    draft = AnswerMatcher(Limits(grammar, 420))
    for token in vocabulary.greedy(("ab " * 80).strip().encode())[:74] + vocabulary.greedy(mark.encode()):
        draft.accept(token)
    allowed = {vocabulary.tokens[token] for token in draft.choices().listed()}
    assert all(text.startswith(b"\n") for text in allowed)
