"""What a request to a server may ask of the format, and what it is told where it asks for too much."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hostile_names import HOSTILE

from skutune.decoding.answer_matcher import AnswerMatcher, EmptyAnswer
from skutune.decoding.vllm_requests import MatcherFactory, RequestParams, SequenceProgress, check, read_request_params
from skutune.errors import InputError, SkutuneError


def sampling(max_tokens: int | None = 200, **arguments: Any) -> Any:
    return SimpleNamespace(max_tokens=max_tokens, extra_args=arguments or None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, hostile_trie: Any) -> Path:
    folder = tmp_path_factory.mktemp("trie")
    hostile_trie.save(folder)
    return folder


@pytest.fixture(scope="module")
def drafts(tokenizer: Any, folder: Path) -> MatcherFactory:
    return MatcherFactory(tokenizer, folder, context=400)


@pytest.mark.parametrize("arguments", [None, {}, {"kv_transfer_params": {}}, {"skutune": 0}])
def test_a_request_that_does_not_ask_is_left_alone(drafts: MatcherFactory, arguments: Any) -> None:
    check(SimpleNamespace(max_tokens=1, extra_args=arguments))
    assert drafts.begin(SimpleNamespace(max_tokens=1, extra_args=arguments), 10) is None


def test_arguments_are_flat_and_ids_may_be_numbers() -> None:
    asked = {"skutune": 1, "skutune_unavailable": [7, "12)"], "skutune_allowed": ["9"], "skutune_max_items": 2}
    assert read_request_params(asked) == RequestParams(frozenset({"7", "12)"}), frozenset({"9"}), 2)
    assert read_request_params({"skutune": 1}) == RequestParams(frozenset(), None, 5)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"skutune": "yes"}, "skutune is 'yes'; 1 asks"),
        ({"skutune_unavailable": ["7"]}, "skutune_unavailable requires skutune: 1"),
        ({"skutune": 1, "skutune_unavalable": ["7"]}, "skutune_unavalable is unknown; known are"),
        ({"skutune": 1, "skutune_allowed": {"7": 1}}, "it is a list of product ids"),
        ({"skutune": 1, "skutune_unavailable": "32717,43962"}, "it is a list of product ids, such as"),
        ({"skutune": 1, "skutune_allowed": 7}, "it is a list of product ids, such as"),
        ({"skutune": 1, "skutune_unavailable": ["32717, 43962"]}, "write each id by itself"),
        ({"skutune": 1, "skutune_unavailable": ["32717\n"]}, "write each id by itself"),
        ({"skutune": 1, "skutune_allowed": [7.5]}, "product ids are text or whole numbers"),
        ({"skutune": 1, "skutune_unavailable": True}, "it is a list of product ids"),
        ({"skutune": 1, "skutune_max_items": 0}, "a whole number from 1 to 10"),
        ({"skutune": 1, "skutune_max_items": "many"}, "a whole number from 1 to 10"),
    ],
)
def test_wrong_arguments_are_refused_with_what_is_right(arguments: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        check(sampling(**arguments))


@pytest.mark.parametrize(
    "beside",
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
def test_what_takes_tokens_away_by_itself_cannot_be_had_together(beside: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(beside))} .* cannot be combined with skutune"):
        check(SimpleNamespace(max_tokens=200, extra_args={"skutune": 1}, **beside))


def test_ids_that_no_product_has_are_counted_in_the_log(
    drafts: MatcherFactory, caplog: pytest.LogCaptureFixture
) -> None:
    drafts.begin(sampling(skutune=1, skutune_unavailable=["12", "12,9", "none"]), 10)
    assert "A request names 3 ids, of which the catalog lacks 2" in caplog.text
    caplog.clear()
    drafts.begin(sampling(skutune=1, skutune_unavailable=["12"]), 10)
    assert not caplog.records


def test_a_length_that_no_answer_fits_into_is_refused() -> None:
    with pytest.raises(ValueError, match="no answer is sure to fit into fewer than"):
        check(sampling(max_tokens=8, skutune=1))
    check(sampling(max_tokens=None, skutune=1))


def test_a_draft_has_the_room_behind_the_prompt(drafts: MatcherFactory) -> None:
    draft = drafts.begin(sampling(max_tokens=None, skutune=1), 100)
    assert isinstance(draft, AnswerMatcher)
    assert draft.remaining == 300
    assert isinstance(drafts.begin(sampling(skutune=1), 395), EmptyAnswer)


def test_a_draft_that_is_told_of_a_token_it_does_not_allow_ends(drafts: MatcherFactory, vocabulary: Any) -> None:
    draft = drafts.begin(sampling(skutune=1), 10)
    assert draft is not None
    progress = SequenceProgress(draft)
    progress.follow([vocabulary.by_bytes[b"\n"]])
    assert progress.draft.choices().listed().tolist() == list(vocabulary.ends)
    progress.follow([vocabulary.ends[0], 5, 6])
    assert progress.draft.ended
    assert progress.seen == 4


def test_a_placeholder_for_a_token_is_told_and_not_taken_for_one(drafts: MatcherFactory) -> None:
    draft = drafts.begin(sampling(skutune=1), 10)
    assert draft is not None
    with pytest.raises(SkutuneError, match="name it as one of logits_processors"):
        SequenceProgress(draft).follow([-1])


def test_only_what_is_allowed_and_available_is_in_stock(drafts: MatcherFactory) -> None:
    asked = {"skutune_allowed": ["12", "9", "none"], "skutune_unavailable": ["9"]}
    draft = drafts.begin(sampling(skutune=1, **asked), 10)
    assert isinstance(draft, AnswerMatcher)
    trie = draft.limits.grammar.trie
    everything = trie.leaves_of([product_id for product_id, _ in HOSTILE])
    assert [trie.ids[leaf] for leaf in draft.limits.held(everything)] == ["12"]


def test_a_trie_of_another_tokenizer_is_told_at_the_start(folder: Path, tokenizer: Any) -> None:
    with pytest.raises(InputError, match="built for another tokenizer"):
        MatcherFactory(tokenizer, folder, context=400, ends=(tokenizer.convert_tokens_to_ids("A"),))
