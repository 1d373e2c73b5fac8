"""Continuous batching: sequences join when a slot is free and leave when they end, without waiting for the longest.

Prefill covers a prompt except its last token, which goes through the same decoding step as all later tokens, so there
is one place that uses logits. The KV cache of a prefix shared with an earlier prompt is reused (a stage's prompts
differ only in the product). Tokens that a schema forces at the beginning of a text are part of the prefill.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from skutune.engines.base import Request
from skutune.engines.transformers.json_grammar import allows, apply_mask
from skutune.engines.transformers.kv_cache import SlotCache, forward
from skutune.engines.transformers.sampling import sample
from skutune.process.watchdog import heartbeat

_PREFILL_TOKENS = 4096
"""Maximum number of prompt tokens in a forward pass, including padding; bounds its memory."""


@dataclass(slots=True)
class RunningSequence:
    """A request in progress: the tokens of its prompt (never empty), the generated tokens, and its sampling state.

    Before the sequence joins a batch, `generated` may already contain forced tokens.
    """

    request: Request
    prompt: list[int]
    limit: int
    random: random.Random
    matcher: Any | None = None
    generated: list[int] = field(default_factory=list)
    finish_reason: str | None = None

    @property
    def tokens(self) -> list[int]:
        """Prompt and generated tokens."""
        return self.prompt + self.generated

    @property
    def position(self) -> int:
        """The position of the newest token, which no forward pass has processed yet."""
        return len(self.prompt) + len(self.generated) - 1

    @property
    def newest(self) -> int:
        """The newest token."""
        return self.generated[-1] if self.generated else self.prompt[-1]

    def append_forced(self) -> None:
        """Append the tokens that the schema forces, up to the limit."""
        if self.matcher is None:
            return
        for token in self.matcher.compute_ff_tokens()[: self.limit]:
            self.append(token, frozenset())

    def append(self, token: int, stops: frozenset[int]) -> None:
        """Append a token, and set the finish reason if the text ends."""
        if token in stops:
            self.finish_reason = "stop"
            return
        self.generated.append(token)
        if self.matcher is not None and not self.matcher.consume_token(token):
            self.finish_reason = "length"
        elif self.matcher is not None and self.matcher.is_stopped():
            self.finish_reason = "stop"
        elif len(self.generated) >= self.limit:
            self.finish_reason = "length"


class Batch:
    """The active sequences, at most `slots`, in slots 0 … n-1 of the KV cache."""

    def __init__(self, model: Any, slots: int, stops: frozenset[int]) -> None:
        self.model, self.slots, self.stops = model, slots, stops
        self.active: list[RunningSequence] = []
        self._cache = SlotCache(slots, model.config.num_hidden_layers)
        self._cached: list[list[int]] = [[] for _ in range(slots)]  # the tokens whose KV cache each slot contains

    @property
    def free_slots(self) -> int:
        """The number of sequences that may join."""
        return self.slots - len(self.active)

    @torch.inference_mode()  # type: ignore[untyped-decorator, unused-ignore]
    def join(self, sequences: Sequence[RunningSequence]) -> None:
        """Prefill the prompts of new sequences (at most `free_slots`) and activate them."""
        waiting = sorted(sequences, key=lambda sequence: sequence.tokens)
        if len(waiting) > 1 and self._share_new_prefix(waiting[0], waiting[1]):
            self._prefill(waiting[:1])
            waiting = waiting[1:]
        while waiting:
            width = max(len(sequence.tokens) for sequence in waiting)
            batch_size = max(1, _PREFILL_TOKENS // width)
            self._prefill(waiting[:batch_size])
            waiting = waiting[batch_size:]

    @torch.inference_mode()  # type: ignore[untyped-decorator, unused-ignore]
    def step(self) -> list[RunningSequence]:
        """Generate one token per sequence; return the sequences that ended, which leave the batch."""
        rows = self.active
        logits = forward(
            self.model,
            self._cache,
            0,
            self._tensor([[row.newest] for row in rows]),
            self._tensor([row.position for row in rows]),
        )
        for row, token in zip(rows, self._sample_tokens(logits, rows), strict=True):
            row.append(token, self.stops)
        return [self._remove(slot) for slot in reversed(range(len(rows))) if rows[slot].finish_reason]

    def _sample_tokens(self, logits: torch.Tensor, rows: Sequence[RunningSequence]) -> list[int]:
        """Sample a token per row of logits (rows, vocabulary); resample under a mask if the grammar rejects it."""
        tokens = _sample(logits, rows)
        rejected = [
            row_index
            for row_index, row in enumerate(rows)
            if row.matcher is not None and not allows(row.matcher, tokens[row_index], self.stops)
        ]
        if rejected:
            resampled, masked = [rows[row_index] for row_index in rejected], logits[rejected]
            apply_mask(masked, [row.matcher for row in resampled])
            for row_index, token in zip(rejected, _sample(masked, resampled), strict=True):
                tokens[row_index] = token
        return tokens

    def _share_new_prefix(self, first: RunningSequence, second: RunningSequence) -> bool:
        """Whether two prompts share a longer prefix with each other than with any slot."""
        longest_cached = max(_common_prefix(first.tokens, cached) for cached in self._cached)
        return _common_prefix(first.tokens, second.tokens) > longest_cached

    def _prefill(self, sequences: Sequence[RunningSequence]) -> None:
        heartbeat()
        first = len(self.active)
        starts = [self._reuse_prefix(first + row, sequence.tokens[:-1]) for row, sequence in enumerate(sequences)]
        suffixes = [sequence.tokens[start:-1] for sequence, start in zip(sequences, starts, strict=True)]
        width = max(len(suffix) for suffix in suffixes)
        if width:
            padded = [suffix + [0] * (width - len(suffix)) for suffix in suffixes]
            forward(self.model, self._cache, first, self._tensor(padded), self._tensor(starts))
        for row, sequence in enumerate(sequences):
            self._cached[first + row] = sequence.tokens[:-1]
        self.active.extend(sequences)

    def _reuse_prefix(self, slot: int, prompt: list[int]) -> int:
        """Fill the slot with the longest cached prefix of a prompt and return its length."""
        shared = [_common_prefix(prompt, cached) for cached in self._cached]
        length = max(shared)
        # The slot itself needs no copy.
        source = slot if shared[slot] == length else shared.index(length)
        if source != slot:
            self._cache.copy(source, slot, length)
        self._cached[slot] = prompt[:length]
        return length

    def _remove(self, slot: int) -> RunningSequence:
        """Remove a sequence and move the last one into its slot."""
        removed, last = self.active[slot], self.active.pop()
        if last is not removed:
            self._cache.copy(len(self.active), slot, last.position)
            self._cached[slot] = self._cached[len(self.active)]
            self.active[slot] = last
        return removed

    def _tensor(self, numbers: Any) -> torch.Tensor:
        return torch.tensor(numbers, dtype=torch.long, device=self.model.device)


def _sample(logits: torch.Tensor, rows: Sequence[RunningSequence]) -> list[int]:
    samplings = [row.request.sampling for row in rows]
    return sample(
        logits,
        [sampling.temperature for sampling in samplings],
        [sampling.top_p for sampling in samplings],
        [row.random.random() for row in rows],
    )


def _common_prefix(first: list[int], second: list[int]) -> int:
    """The length of the common prefix of two lists."""
    for index, (token, other_token) in enumerate(zip(first, second, strict=False)):
        if token != other_token:
            return index
    return min(len(first), len(second))
