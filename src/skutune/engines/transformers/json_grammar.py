"""JSON that follows a schema: llguidance computes the tokens allowed next.

llguidance parses lazily during decoding: compiling a schema takes milliseconds, whereas automata built ahead of time
take seconds for bounded strings.

A mask over the vocabulary costs 0.5 ms per row, the check of a single token a few microseconds. A token is therefore
sampled without a mask, checked, and resampled under a mask only if it is rejected, as in llama.cpp. The probability of
each token is the one under the mask, except that top-p of the first sample covers all tokens, not only allowed ones.
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

# With flexible white space, a small model may generate line breaks until it is truncated.
_LAYOUT = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


class Grammars:
    """Compiles JSON Schemas for one tokenizer, each once."""

    def __init__(self, tokenizer: Any, vocabulary: int, stops: frozenset[int]) -> None:
        self._tokenizer = from_tokenizer(tokenizer, n_vocab=vocabulary, eos_token=sorted(stops))
        self._compiled = lru_cache(maxsize=256)(self._compile)

    def matcher(self, schema: dict[str, Any]) -> LLMatcher:
        """Return a new matcher in its initial state. Raises InputError for an unsupported schema."""
        return self._compiled(json.dumps(schema)).deep_copy()

    def _compile(self, schema: str) -> LLMatcher:
        matcher = LLMatcher(self._tokenizer, LLMatcher.grammar_from_json_schema(schema, overrides=_LAYOUT))
        if matcher.is_error():
            raise InputError(f"unsupported JSON schema: {matcher.get_error()}: {schema}")
        return matcher


def allows(matcher: LLMatcher, token: int, stops: frozenset[int]) -> bool:
    """Whether a token is allowed next; a stop token is allowed once the JSON is complete."""
    if token in stops:
        return bool(matcher.is_accepting())
    return bool(matcher.validate_tokens([token]) == 1)


def apply_mask(logits: torch.Tensor, matchers: Sequence[LLMatcher]) -> None:
    """Set the logits, shape (rows, vocabulary), of tokens that a row's matcher does not allow to -inf, in place."""
    for row, matcher in enumerate(matchers):
        bits = np.frombuffer(matcher.compute_bitmask(), dtype=np.uint8)
        allowed = torch.from_numpy(np.unpackbits(bits, bitorder="little")[: logits.shape[1]]).bool()
        logits[row].masked_fill_(~allowed.to(logits.device), float("-inf"))
