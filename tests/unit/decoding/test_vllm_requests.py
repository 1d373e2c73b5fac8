"""Validation of constrained requests, and their matchers."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hostile_names import HOSTILE

from skutune.decoding.answer_matcher import AnswerMatcher, EmptyAnswer
from skutune.decoding.vllm_requests import (
    MatcherFactory,
    RequestParams,
    SequenceProgress,
    read_request_params,
    validate_sampling,
)
from skutune.errors import InputError, SkutuneError


def sampling(max_tokens: int | None = 200, **arguments: Any) -> Any:
    return SimpleNamespace(max_tokens=max_tokens, extra_args=arguments or None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, hostile_trie: Any) -> Path:
    folder = tmp_path_factory.mktemp("trie")
    hostile_trie.save(folder)
    return folder


@pytest.fixture(scope="module")
def factory(tokenizer: Any, folder: Path) -> MatcherFactory:
    return MatcherFactory(tokenizer, folder, context=400)


@pytest.mark.parametrize("arguments", [None, {}, {"kv_transfer_params": {}}, {"skutune": 0}])
def test_a_request_that_does_not_opt_in_is_unconstrained(factory: MatcherFactory, arguments: Any) -> None:
    validate_sampling(SimpleNamespace(max_tokens=1, extra_args=arguments))
    assert factory.create(SimpleNamespace(max_tokens=1, extra_args=arguments), 10) is None


def test_arguments_are_flat_and_ids_may_be_integers() -> None:
    arguments = {"skutune": 1, "skutune_unavailable": [7, "12)"], "skutune_allowed": ["9"], "skutune_max_items": 2}
    assert read_request_params(arguments) == RequestParams(frozenset({"7", "12)"}), frozenset({"9"}), 2)
    assert read_request_params({"skutune": 1}) == RequestParams(frozenset(), None, 5)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"skutune": "yes"}, "skutune is 'yes'; it must be 0 or 1"),
        ({"skutune_unavailable": ["7"]}, "skutune_unavailable requires skutune: 1"),
        ({"skutune": 1, "skutune_unavalable": ["7"]}, "unknown argument skutune_unavalable; known arguments: skutune,"),
        ({"skutune": 1, "skutune_allowed": {"7": 1}}, "it must be a list of product ids"),
        ({"skutune": 1, "skutune_unavailable": "32717,43962"}, "it must be a list of product ids, such as"),
        ({"skutune": 1, "skutune_allowed": 7}, "it must be a list of product ids, such as"),
        ({"skutune": 1, "skutune_unavailable": ["32717, 43962"]}, "pass each id as a separate element"),
        ({"skutune": 1, "skutune_unavailable": ["32717\n"]}, "pass each id as a separate element"),
        ({"skutune": 1, "skutune_allowed": [7.5]}, "product ids must be strings or integers"),
        ({"skutune": 1, "skutune_unavailable": True}, "it must be a list of product ids"),
        ({"skutune": 1, "skutune_max_items": 0}, "an integer from 1 to 10"),
        ({"skutune": 1, "skutune_max_items": "many"}, "an integer from 1 to 10"),
    ],
)
def test_invalid_arguments_raise_with_what_is_valid(arguments: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        validate_sampling(sampling(**arguments))


@pytest.mark.parametrize(
    "conflicting",
    [
        {"structured_outputs": object()},
        {"stop": ["."]},
        {"stop_token_ids": [11]},
        {"logit_bias": {1: 2}},
        {"min_tokens": 3},
        {"repetition_detection": object()},
        {"thinking_token_budget": 0},
    ],
)
def test_parameters_that_exclude_tokens_cannot_be_combined(conflicting: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(conflicting))} .* cannot be combined with skutune"):
        validate_sampling(SimpleNamespace(max_tokens=200, extra_args={"skutune": 1}, **conflicting))


def test_unknown_ids_are_counted_in_the_log(factory: MatcherFactory, caplog: pytest.LogCaptureFixture) -> None:
    factory.create(sampling(skutune=1, skutune_unavailable=["12", "12,9", "none"]), 10)
    assert "2 of the 3 ids in a request are not in the catalog" in caplog.text
    caplog.clear()
    factory.create(sampling(skutune=1, skutune_unavailable=["12"]), 10)
    assert not caplog.records


def test_a_max_tokens_below_the_shortest_answer_raises() -> None:
    with pytest.raises(ValueError, match="max_tokens is 8; it must be at least"):
        validate_sampling(sampling(max_tokens=8, skutune=1))
    validate_sampling(sampling(max_tokens=None, skutune=1))


def test_an_answer_has_the_tokens_that_the_prompt_leaves(factory: MatcherFactory) -> None:
    matcher = factory.create(sampling(max_tokens=None, skutune=1), 100)
    assert isinstance(matcher, AnswerMatcher)
    assert matcher.remaining == 300
    assert isinstance(factory.create(sampling(skutune=1), 395), EmptyAnswer)


def test_a_token_that_is_not_allowed_ends_the_answer(factory: MatcherFactory, vocabulary: Any) -> None:
    matcher = factory.create(sampling(skutune=1), 10)
    assert matcher is not None
    progress = SequenceProgress(matcher)
    progress.advance([vocabulary.by_bytes[b"\n"]])
    assert progress.matcher.choices().token_ids().tolist() == list(vocabulary.ends)
    progress.advance([vocabulary.ends[0], 5, 6])
    assert progress.matcher.ended
    assert progress.consumed == 4


def test_a_placeholder_token_raises(factory: MatcherFactory) -> None:
    matcher = factory.create(sampling(skutune=1), 10)
    assert matcher is not None
    with pytest.raises(SkutuneError, match="add it to logits_processors"):
        SequenceProgress(matcher).advance([-1])


def test_only_allowed_and_available_products_can_be_referenced(factory: MatcherFactory) -> None:
    arguments = {"skutune_allowed": ["12", "9", "none"], "skutune_unavailable": ["9"]}
    matcher = factory.create(sampling(skutune=1, **arguments), 10)
    assert isinstance(matcher, AnswerMatcher)
    trie = matcher.limits.grammar.trie
    everything = trie.leaves_of([product_id for product_id, _ in HOSTILE])
    assert [trie.ids[leaf] for leaf in matcher.limits.only_available(everything)] == ["12"]


def test_a_trie_of_another_tokenizer_raises_at_the_start(folder: Path, tokenizer: Any) -> None:
    with pytest.raises(InputError, match="built for another tokenizer"):
        MatcherFactory(tokenizer, folder, context=400, ends=(tokenizer.convert_tokens_to_ids("A"),))
