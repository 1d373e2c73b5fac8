"""Parameters of constrained requests to vLLM, and the matcher of each request.

A request opts in with its extra arguments (`vllm_xargs` over HTTP):

    skutune               1: constrain the answer to the format and the catalog
    skutune_unavailable   ids of products that must not be referenced
    skutune_allowed       ids of the only products that may be referenced, such as search results
    skutune_max_items     maximum number of recommendations, 5 by default
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
"""The key of vLLM's `additional_config` with the folder of the catalog trie."""

_UNAVAILABLE, _ALLOWED, _MAX_ITEMS = "skutune_unavailable", "skutune_allowed", "skutune_max_items"
_ITEMS_LIMIT = 10
_DEFAULT_ITEMS = 5

# These exclude tokens or end the text: combined with the format, no token may be left, or the answer is truncated.
_INCOMPATIBLE = {
    "structured_outputs": "another grammar",
    "bad_words": "forbidden words",
    "allowed_token_ids": "a set of allowed tokens",
    "logit_bias": "biased tokens",
    "min_tokens": "a minimum length",
    "stop": "strings that truncate the answer",
    "stop_token_ids": "tokens that truncate the answer",
    "repetition_detection": "an end at repetitions",
    "ignore_eos": "no end token",
    "thinking_token_budget": "reasoning before the answer",
}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RequestParams:
    """Parameters of a constrained request; `allowed` None: the whole catalog."""

    unavailable: frozenset[str] = frozenset()
    allowed: frozenset[str] | None = None
    max_items: int = _DEFAULT_ITEMS


def read_request_params(arguments: Mapping[str, Any] | None) -> RequestParams | None:
    """Read a request's extra arguments; None if it is unconstrained. Raises ValueError for invalid arguments."""
    options = {key: value for key, value in (arguments or {}).items() if key.startswith(SWITCH)}
    unknown = sorted(options.keys() - {SWITCH, _UNAVAILABLE, _ALLOWED, _MAX_ITEMS})
    if unknown:
        known = f"{SWITCH}, {_UNAVAILABLE}, {_ALLOWED}, {_MAX_ITEMS}"
        raise ValueError(f"unknown argument {unknown[0]}; known arguments: {known}")
    switch = options.get(SWITCH, 0)
    if switch not in (0, 1):
        raise ValueError(f"{SWITCH} is {switch!r}; it must be 0 or 1 (constrained answer)")
    if not switch:
        if options.keys() - {SWITCH}:
            raise ValueError(f"{min(options.keys() - {SWITCH})} requires {SWITCH}: 1")
        return None
    allowed = _ids(_ALLOWED, options[_ALLOWED]) if _ALLOWED in options else None
    return RequestParams(
        _ids(_UNAVAILABLE, options.get(_UNAVAILABLE, [])), allowed, _items(options.get(_MAX_ITEMS, _DEFAULT_ITEMS))
    )


def validate_sampling(sampling: Any) -> None:
    """Validate vLLM's sampling parameters. Raises ValueError if they cannot be combined with a constrained answer."""
    params = read_request_params(sampling.extra_args)
    if params is None:
        return
    # vLLM validates before it adds the model's end tokens to `stop_token_ids`: these are the request's own.
    for name, what in _INCOMPATIBLE.items():
        value = getattr(sampling, name, None)
        if value or (value is not None and name == "thinking_token_budget"):
            raise ValueError(f"{name} ({what}) cannot be combined with {SWITCH}; remove one of them")
    min_tokens = _min_tokens(params.max_items)
    if sampling.max_tokens is not None and sampling.max_tokens < min_tokens:
        raise ValueError(f"max_tokens is {sampling.max_tokens}; it must be at least {min_tokens} for an answer to fit")


class MatcherFactory:
    """Creates the matchers of a server's requests.

    Args:
        tokenizer: a transformers tokenizer.
        trie: the folder of a catalog trie that was built for this tokenizer.
        context: maximum length of prompt and answer together, in tokens.
        ends: additional end-of-sequence tokens of the model.

    Raises:
        InputError: the folder has no trie, or it was built for another tokenizer.
    """

    def __init__(self, tokenizer: Any, trie: Path, context: int, ends: tuple[int, ...] = ()) -> None:
        self._vocabulary = load_vocabulary(tokenizer, ends)
        self._trie = TokenTrie.load(trie)
        self._context = context
        self._grammar = lru_cache(maxsize=_ITEMS_LIMIT)(self._build_grammar)
        self._grammar(_DEFAULT_ITEMS)  # fails now if the trie does not match, not at the first request

    def create(self, sampling: Any, prompt_tokens: int) -> AnswerMatcher | EmptyAnswer | None:
        """Create the matcher of a request; None if the request is unconstrained."""
        params = read_request_params(sampling.extra_args)
        if params is None:
            return None
        max_tokens = self._context - prompt_tokens
        max_tokens = max_tokens if sampling.max_tokens is None else min(max_tokens, sampling.max_tokens)
        try:
            self._log_unknown_ids(params)
            limits = Limits(self._grammar(params.max_items), max_tokens, params.unavailable, only=params.allowed)
        except InputError as error:
            # The request was accepted before its prompt was tokenized; an exception here would end all other requests.
            _log.warning("Returning an empty answer: %s", error)
            return EmptyAnswer(self._vocabulary.ends)
        return AnswerMatcher(limits)

    def _log_unknown_ids(self, params: RequestParams) -> None:
        ids = params.unavailable | (params.allowed or frozenset())
        unknown = len(ids) - len(self._trie.leaves_of(ids))
        if unknown:
            _log.warning("%d of the %d ids in a request are not in the catalog", unknown, len(ids))

    def _build_grammar(self, max_items: int) -> Grammar:
        return Grammar(self._vocabulary, self._trie, max_items=max_items)


def build_matcher_factory(vllm_config: Any) -> MatcherFactory:
    """Build the matcher factory of a vLLM engine from its tokenizer, its context and its `additional_config`.

    Raises:
        InputError: `additional_config` does not name a trie that was built for this tokenizer.
    """
    from transformers import AutoTokenizer

    model = vllm_config.model_config
    folder = vllm_config.additional_config.get(TRIE)
    if not folder:
        raise InputError(f"no catalog trie is configured; set {TRIE} in additional_config")
    ends = (model.try_get_generation_config() or {}).get("eos_token_id") or ()
    tokenizer = AutoTokenizer.from_pretrained(model.tokenizer, revision=model.tokenizer_revision)
    prepare_chat_tokenizer(tokenizer, str(model.tokenizer), is_base=True)
    return MatcherFactory(
        tokenizer, Path(folder), model.max_model_len, (ends,) if isinstance(ends, int) else tuple(ends)
    )


class SequenceProgress:
    """A request's matcher, and how many of the request's tokens it has consumed."""

    def __init__(self, matcher: AnswerMatcher | EmptyAnswer) -> None:
        self.matcher = matcher
        self.consumed = 0

    def advance(self, tokens: Collection[int]) -> None:
        """Pass further generated tokens to the matcher.

        Raises:
            SkutuneError: a token is a placeholder, so the answer so far is unknown and cannot be constrained.
        """
        for token in tokens:
            self.consumed += 1
            if not self.matcher.ended:
                self._accept(token)

    def _accept(self, token: int) -> None:
        if token < 0:
            raise SkutuneError("vLLM does not keep output tokens for the answer processor; add it to logits_processors")
        try:
            self.matcher.accept(token)
        except ValueError as error:
            _log.warning("Ending an answer early: %s", error)
            self.matcher = EmptyAnswer(self.matcher.ends)


@lru_cache(maxsize=_ITEMS_LIMIT)
def _min_tokens(max_items: int) -> int:
    return int(build_automaton(frozenset(range(256)), 1, max_items).cost[START])


def _ids(name: str, value: Any) -> frozenset[str]:
    if not isinstance(value, list | tuple):
        raise ValueError(f'{name} is {value!r}; it must be a list of product ids, such as ["32717", "43962"]')
    for product_id in value:
        if isinstance(product_id, bool) or not isinstance(product_id, str | int):
            raise ValueError(f"{name} contains {product_id!r}; product ids must be strings or integers")
        if str(product_id) != "".join(str(product_id).split()):
            raise ValueError(
                f"{name} contains {product_id!r}; ids have no white space: pass each id as a separate element"
            )
    return frozenset(str(product_id) for product_id in value)


def _items(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _ITEMS_LIMIT:
        raise ValueError(f"{_MAX_ITEMS} is {value!r}; it must be an integer from 1 to {_ITEMS_LIMIT}")
    return value
