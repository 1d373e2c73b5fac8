"""Whatever the scores of a model, an answer is complete and references existing, available products."""

from __future__ import annotations

import numpy as np
import pytest
from hostile_names import HOSTILE

from skutune import answer_format
from skutune.decoding.answer_matcher import AnswerMatcher, Limits
from skutune.decoding.masks import Grammar
from skutune.decoding.vocabulary import Vocabulary
from skutune.errors import InputError

from .writing import FAVOURED, write


@pytest.fixture(scope="module")
def grammar(vocabulary, hostile_trie):
    return Grammar(vocabulary, hostile_trie)


def test_random_references_exist_and_are_available(grammar, vocabulary):
    rng, catalog, distinct, references = np.random.default_rng(1), set(HOSTILE), set(), 0
    grammar = Grammar(vocabulary, grammar.trie, min_items=3)
    for _ in range(90):
        unavailable = {product_id for product_id, _ in HOSTILE if rng.random() < rng.choice([0, 0.5, 0.9])}
        limits = Limits(grammar, int(rng.integers(240, 480)), unavailable)
        for item in write(AnswerMatcher(limits), vocabulary, rng, FAVOURED).items:
            if item.product is not None:
                referenced = (item.product.id, item.product.name)
                assert referenced in catalog
                assert referenced[0] not in unavailable
                distinct.add(referenced)
                references += 1
    assert references >= 200
    assert len(distinct) >= len(HOSTILE) - 2


@pytest.mark.parametrize("spare", [0, 1, 2, 5, 20, 60])
def test_an_answer_is_completed_within_max_tokens(grammar, vocabulary, spare):
    rng = np.random.default_rng(spare)
    with pytest.raises(InputError, match="allow at least") as error:
        Limits(grammar, 1)
    min_tokens = int(str(error.value).split()[-1])
    for favoured in ((), FAVOURED, (".",)):
        write(AnswerMatcher(Limits(grammar, min_tokens + spare)), vocabulary, rng, favoured)


def test_without_available_products_an_answer_references_none(grammar, vocabulary):
    limits = Limits(grammar, 200, {product_id for product_id, _ in HOSTILE})
    answer = write(AnswerMatcher(limits), vocabulary, np.random.default_rng(0), FAVOURED)
    assert {item.product for item in answer.items} == {None}


def test_all_tokens_of_a_training_text_are_allowed(grammar, tokenizer):
    # Excluded: a name too long for 300 tokens, and ids whose final bracket merges with the reference's.
    products = [answer_format.Reference(*product) for product in HOSTILE if product[0] not in ("long", "12)", "12))")]
    for product in products:
        item = answer_format.AnswerItem("Beans", "They go well with it.", product)
        other = answer_format.AnswerItem("Slaw", "Crisp.", None)
        text = answer_format.render(answer_format.AnswerText("Both are fine.", (item, other), "Together they do."))
        matcher = AnswerMatcher(Limits(grammar, 300))
        for token in tokenizer(text, split_special_tokens=True)["input_ids"]:
            assert token in matcher.choices().token_ids(), (product, matcher.text(), tokenizer.decode([token]))
            matcher.accept(token)
        assert matcher.is_complete
        assert matcher.text() == text


def test_a_token_that_is_not_allowed_raises(grammar, vocabulary):
    with pytest.raises(ValueError, match="not allowed"):
        AnswerMatcher(Limits(grammar, 200)).accept(vocabulary.by_bytes[b"\n"])


def test_an_end_token_is_refused_before_the_answer_is_complete_and_everything_after_it(grammar, vocabulary):
    matcher, end = AnswerMatcher(Limits(grammar, 200)), vocabulary.ends[0]
    with pytest.raises(ValueError, match="has already ended or is incomplete"):
        matcher.accept(end)
    write(matcher, vocabulary, np.random.default_rng(0), FAVOURED)
    assert matcher.ended
    for token in (end, vocabulary.by_bytes[b"."]):
        with pytest.raises(ValueError, match="has already ended or is incomplete"):
            matcher.accept(token)


def test_a_trie_of_another_tokenizer_raises(vocabulary, hostile_trie):
    other = Vocabulary((*vocabulary.tokens, b"more"), vocabulary.ends)
    with pytest.raises(InputError, match="another tokenizer"):
        Grammar(other, hostile_trie)


def linked_answers(grammar, vocabulary, allowed, unavailable=(), rounds=12, max_tokens=420):
    """Answers with at least three recommendations, and the names that were looked up."""
    names = []

    def look_up(name):
        names.append(name)
        return allowed(name)

    limits = Limits(Grammar(vocabulary, grammar.trie, min_items=3), max_tokens, unavailable)
    rngs = [np.random.default_rng(number) for number in range(rounds)]
    return [write(AnswerMatcher(limits, look_up), vocabulary, rng, FAVOURED) for rng in rngs], names


def test_a_reference_is_a_candidate_for_the_recommendations_name(grammar, vocabulary):
    candidates_by_length = {0: {"12"}, 1: {"12)", "9", "no such product"}, 2: set()}
    answers, names = linked_answers(grammar, vocabulary, lambda name: candidates_by_length[len(name) % 3])
    items = [item for answer in answers for item in answer.items]
    assert names == [item.name for item in items]
    assert {len(name) % 3 for name in names} == {0, 1, 2}
    for item in items:
        if item.product is None:
            assert not candidates_by_length[len(item.name) % 3]
        else:
            assert item.product.id in candidates_by_length[len(item.name) % 3]


def test_unavailable_candidates_lead_to_no_close_product(grammar, vocabulary):
    answers, _ = linked_answers(grammar, vocabulary, lambda name: {"12", "9"}, unavailable={"12", "9"}, rounds=3)
    assert {item.product for answer in answers for item in answer.items} == {None}


def test_a_linked_answer_repeats_a_product_only_without_an_unused_candidate(grammar, vocabulary):
    twins = {"32717", "32718"}
    answers, _ = linked_answers(grammar, vocabulary, lambda name: twins)
    for answer in answers:
        first, second, *others = [item.product.id for item in answer.items]
        assert {first, second} == twins
        assert set(others) <= twins


def test_an_answer_repeats_a_product_only_without_an_unused_one(grammar, vocabulary):
    available = {"32717", "12", "12)"}
    grammar = Grammar(vocabulary, grammar.trie, min_items=4)
    limits = Limits(grammar, 400, {product_id for product_id, _ in HOSTILE} - available)
    for seed in range(12):
        answer = write(AnswerMatcher(limits), vocabulary, np.random.default_rng(seed), FAVOURED)
        referenced = [item.product.id for item in answer.items if item.product is not None]
        assert len(set(referenced[:3])) == len(referenced[:3])


def test_a_linked_answer_is_completed_within_few_tokens(grammar, vocabulary):
    answers, _ = linked_answers(grammar, vocabulary, lambda name: {"12"} if len(name) % 2 else (), max_tokens=220)
    assert len(answers) == 12


@pytest.mark.parametrize("mark", [".", "。", "！", "？"])
def test_a_line_beyond_its_token_budget_ends_with_its_sentence(grammar, vocabulary, mark):
    matcher = AnswerMatcher(Limits(grammar, 420))
    for token in vocabulary.greedy_tokens(("ab " * 80).strip().encode())[:74] + vocabulary.greedy_tokens(mark.encode()):
        matcher.accept(token)
    allowed = {vocabulary.tokens[token] for token in matcher.choices().token_ids()}
    assert all(text.startswith(b"\n") for text in allowed)
