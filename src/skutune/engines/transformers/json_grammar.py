"""JSON that fits a schema, token by token: llguidance says which tokens may come next.

llguidance parses lazily while it decodes: a schema costs milliseconds at its first use, where automata that are built
ahead of time cost seconds for bounded strings.

A mask over the vocabulary costs 0.5 ms a row, a check of one token some microseconds. A token is therefore drawn
freely, checked, and drawn again under a mask only if it is refused, as llama.cpp does. Each token keeps the probability
that it has under the mask, except that top-p of the first draw is taken over all tokens and not over allowed ones.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from llguidance import LLMatcher
from llguidance.hf import from_tokenizer

from skutune.errors import InputError

# One way to write a value. With free white space a small model may write line breaks until it is cut.
_LAYOUT = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


class Grammars:
    """Compiles schemas for one tokenizer; each schema once."""

    def __init__(self, tokenizer: Any, vocabulary: int, stops: frozenset[int]) -> None:
        self._tokenizer = from_tokenizer(tokenizer, n_vocab=vocabulary, eos_token=sorted(stops))
        self._compiled = lru_cache(maxsize=256)(self._compile)

    def matcher(self, schema: dict[str, Any]) -> LLMatcher:
        """A fresh matcher, at the beginning of a text. Raises InputError for a schema that cannot be followed."""
        return self._compiled(json.dumps(schema)).deep_copy()

    def _compile(self, schema: str) -> LLMatcher:
        matcher = LLMatcher(self._tokenizer, LLMatcher.grammar_from_json_schema(schema, overrides=_LAYOUT))
        if matcher.is_error():
            raise InputError(f"a JSON schema cannot be followed: {matcher.get_error()}: {schema}")
        return matcher


def allows(matcher: LLMatcher, token: int, stops: frozenset[int]) -> bool:
    """Whether a token may come next; one that ends a text may where the JSON is complete."""
    if token in stops:
        return bool(matcher.is_accepting())
    return bool(matcher.validate_tokens([token]) == 1)


def apply_mask(logits: torch.Tensor, matchers: Sequence[LLMatcher]) -> None:
    """Set the logits (rows, vocabulary) of tokens that a row's matcher does not allow to -inf, in place."""
    for row, matcher in enumerate(matchers):
        bits = np.frombuffer(matcher.compute_bitmask(), dtype=np.uint8)
        allowed = torch.from_numpy(np.unpackbits(bits, bitorder="little")[: logits.shape[1]]).bool()
        logits[row].masked_fill_(~allowed.to(logits.device), float("-inf"))
