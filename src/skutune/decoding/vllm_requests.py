"""What one request to a server asks of the answer format, and the draft that it gets.

A request says so in its extra arguments, which over HTTP are flat (`vllm_xargs`):

    skutune               1: answer in the format, with products of the catalog
    skutune_unavailable   ids that must not be named
    skutune_allowed       ids of which alone may be named, such as those that a search found
    skutune_max_items     recommendations at most, 5 unless said
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from skutune.decoding.answer_matcher import AnswerMatcher, EmptyAnswer, Limits
from skutune.decoding.automaton import START, build_automaton
from skutune.decoding.masks import Grammar
from skutune.decoding.trie import TokenTrie
from skutune.decoding.vocabulary import load_vocabulary
from skutune.errors import InputError, SkutuneError
from skutune.prompts.chat_tokenizer import prepare_chat_tokenizer

SWITCH = "skutune"
TRIE = "skutune_trie"
"""The key of vLLM's `additional_config` that says in which folder the catalog's trie lies."""

_UNAVAILABLE, _ALLOWED, _MAX_ITEMS = "skutune_unavailable", "skutune_allowed", "skutune_max_items"
_MOST_ITEMS = 10
_USUAL_ITEMS = 5

# Each of these takes tokens away by itself: together with the format none may be left, or the answer is cut.
_NOT_TOGETHER = {
    "structured_outputs": "a grammar of its own",
    "bad_words": "words that must not come",
    "allowed_token_ids": "tokens that alone may come",
    "logit_bias": "tokens that are forced or forbidden",
    "min_tokens": "a least length",
    "stop": "texts that cut the answer",
    "stop_token_ids": "tokens that cut the answer",
    "repetition_detection": "an end where a text repeats itself",
    "ignore_eos": "no end",
    "thinking_token_budget": "thoughts before the answer",
}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RequestParams:
    """What a request asks for; `allowed` None: the whole catalog."""

    unavailable: frozenset[str] = frozenset()
    allowed: frozenset[str] | None = None
    max_items: int = _USUAL_ITEMS


def read_request_params(arguments: Mapping[str, Any] | None) -> RequestParams | None:
    """What extra arguments ask for; None where they do not speak of the format. Raises ValueError for wrong ones."""
    own = {key: value for key, value in (arguments or {}).items() if key.startswith(SWITCH)}
    unknown = sorted(own.keys() - {SWITCH, _UNAVAILABLE, _ALLOWED, _MAX_ITEMS})
    if unknown:
        raise ValueError(f"{unknown[0]} is unknown; known are {SWITCH}, {_UNAVAILABLE}, {_ALLOWED}, {_MAX_ITEMS}")
    switch = own.get(SWITCH, 0)
    if switch not in (0, 1):
        raise ValueError(f"{SWITCH} is {switch!r}; 1 asks for an answer in the format")
    if not switch:
        if own.keys() - {SWITCH}:
            raise ValueError(f"{min(own.keys() - {SWITCH})} requires {SWITCH}: 1")
        return None
    allowed = _ids(_ALLOWED, own[_ALLOWED]) if _ALLOWED in own else None
    return RequestParams(
        _ids(_UNAVAILABLE, own.get(_UNAVAILABLE, [])), allowed, _items(own.get(_MAX_ITEMS, _USUAL_ITEMS))
    )


def check(sampling: Any) -> None:
    """Refuse vLLM's sampling parameters that an answer in the format cannot be written with. Raises ValueError."""
    wanted = read_request_params(sampling.extra_args)
    if wanted is None:
        return
    # vLLM asks before it adds the model's own ends to `stop_token_ids`: what is there now, the request brought.
    for name, what in _NOT_TOGETHER.items():
        given = getattr(sampling, name, None)
        if given or (given is not None and name == "thinking_token_budget"):
            raise ValueError(f"{name} ({what}) cannot be combined with {SWITCH}; remove one of them")
    least = _least_tokens(wanted.max_items)
    if sampling.max_tokens is not None and sampling.max_tokens < least:
        raise ValueError(f"max_tokens is {sampling.max_tokens}; no answer is sure to fit into fewer than {least}")


class MatcherFactory:
    """Makes the drafts of a server's requests: a tokenizer, a catalog's trie and the format.

    Args:
        tokenizer: of transformers.
        trie: the folder of a trie that was built for this tokenizer.
        context: tokens of prompt and answer together at most.

    Raises:
        InputError: there is no trie, or it was built for another tokenizer.
    """

    def __init__(self, tokenizer: Any, trie: Path, context: int, ends: tuple[int, ...] = ()) -> None:
        self._vocabulary = load_vocabulary(tokenizer, ends)
        self._trie = TokenTrie.load(trie)
        self._context = context
        self._grammar = lru_cache(maxsize=_MOST_ITEMS)(self._made_grammar)
        self._grammar(_USUAL_ITEMS)  # fail now if it does not fit, not with the first request

    def begin(self, sampling: Any, prompt_tokens: int) -> AnswerMatcher | EmptyAnswer | None:
        """The draft of a request, at its beginning; None for one that does not ask for the format."""
        wanted = read_request_params(sampling.extra_args)
        if wanted is None:
            return None
        room = self._context - prompt_tokens
        room = room if sampling.max_tokens is None else min(room, sampling.max_tokens)
        try:
            self._tell_unknown(wanted)
            limits = Limits(self._grammar(wanted.max_items), room, wanted.unavailable, only=wanted.allowed)
        except InputError as error:
            # The request was let in before its prompt was counted, and an error here would end those of all others.
            _log.warning("A request gets an empty answer: %s", error)
            return EmptyAnswer(self._vocabulary.ends)
        return AnswerMatcher(limits)

    def _tell_unknown(self, wanted: RequestParams) -> None:
        ids = wanted.unavailable | (wanted.allowed or frozenset())
        unknown = len(ids) - len(self._trie.leaves_of(ids))
        if unknown:
            _log.warning("A request names %d ids, of which the catalog lacks %d", len(ids), unknown)

    def _made_grammar(self, max_items: int) -> Grammar:
        return Grammar(self._vocabulary, self._trie, max_items=max_items)


def build_matcher_factory(vllm_config: Any) -> MatcherFactory:
    """The drafts for a vLLM engine: its tokenizer, its context, and the trie that its `additional_config` names.

    Raises:
        InputError: `additional_config` names no trie, or one that was built for another tokenizer.
    """
    from transformers import AutoTokenizer

    model = vllm_config.model_config
    folder = vllm_config.additional_config.get(TRIE)
    if not folder:
        raise InputError(f"the trie of the catalog is not configured; set {TRIE} in additional_config")
    ends = (model.try_get_generation_config() or {}).get("eos_token_id") or ()
    tokenizer = AutoTokenizer.from_pretrained(model.tokenizer, revision=model.tokenizer_revision)
    prepare_chat_tokenizer(tokenizer, str(model.tokenizer), is_base=True)
    return MatcherFactory(
        tokenizer, Path(folder), model.max_model_len, (ends,) if isinstance(ends, int) else tuple(ends)
    )


class SequenceProgress:
    """A draft that follows what its request has written."""

    def __init__(self, draft: AnswerMatcher | EmptyAnswer) -> None:
        self.draft = draft
        self.seen = 0

    def follow(self, tokens: Collection[int]) -> None:
        """Take in more of the request's tokens.

        Raises:
            SkutuneError: one is a placeholder, so what was written is not known and the answer cannot be held to it.
        """
        for token in tokens:
            self.seen += 1
            if not self.draft.ended:
                self._take(token)

    def _take(self, token: int) -> None:
        if token < 0:
            raise SkutuneError("vLLM keeps no tokens for the processor of answers: name it as one of logits_processors")
        try:
            self.draft.accept(token)
        except ValueError as error:
            _log.warning("A request's answer ends: %s", error)
            self.draft = EmptyAnswer(self.draft.ends)


@lru_cache(maxsize=_MOST_ITEMS)
def _least_tokens(max_items: int) -> int:
    return int(build_automaton(frozenset(range(256)), 1, max_items).cost[START])


def _ids(name: str, value: Any) -> frozenset[str]:
    if not isinstance(value, list | tuple):
        raise ValueError(f'{name} is {value!r}; it is a list of product ids, such as ["32717", "43962"]')
    for each in value:
        if isinstance(each, bool) or not isinstance(each, str | int):
            raise ValueError(f"{name} holds {each!r}; product ids are text or whole numbers")
        if str(each) != "".join(str(each).split()):
            raise ValueError(f"{name} holds {each!r}; no product id has white space: write each id by itself")
    return frozenset(str(each) for each in value)


def _items(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MOST_ITEMS:
        raise ValueError(f"{_MAX_ITEMS} is {value!r}; it is a whole number from 1 to {_MOST_ITEMS}")
    return value
