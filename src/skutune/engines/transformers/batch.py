"""Continuous batching: sequences join when there is room and leave when they end; none waits for the longest.

A prompt is read up to its last token; that token then goes through the same decoding step as all later ones, so
logits are looked at in one place. Of a prompt that begins like one read before (a stage's prompts share all but the
product) only the rest is read. What a schema forces at the beginning of a text is read with its prompt.
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

_READ_AT_ONCE = 4096
"""Prompt tokens of one forward pass, paddings included: bounds its memory."""


@dataclass(slots=True)
class RunningSequence:
    """One request on its way: its prompt's tokens (never empty), what was written, and how it is drawn.

    `written` may hold what the text begins with in any case before the sequence joins a batch.
    """

    request: Request
    prompt: list[int]
    limit: int
    random: random.Random
    matcher: Any | None = None
    written: list[int] = field(default_factory=list)
    finish_reason: str | None = None

    @property
    def tokens(self) -> list[int]:
        """Prompt and text so far."""
        return self.prompt + self.written

    @property
    def position(self) -> int:
        """Where the newest token, which no forward pass has seen yet, lies."""
        return len(self.prompt) + len(self.written) - 1

    @property
    def newest(self) -> int:
        """The newest token."""
        return self.written[-1] if self.written else self.prompt[-1]

    def write_forced(self) -> None:
        """Write what the schema leaves no choice about next, as far as the limit allows, and notice the end."""
        if self.matcher is None:
            return
        for token in self.matcher.compute_ff_tokens()[: self.limit]:
            self.take(token, frozenset())

    def take(self, token: int, stops: frozenset[int]) -> None:
        """Add the drawn token, and notice the end."""
        if token in stops:
            self.finish_reason = "stop"
            return
        self.written.append(token)
        if self.matcher is not None and not self.matcher.consume_token(token):
            self.finish_reason = "length"
        elif self.matcher is not None and self.matcher.is_stopped():
            self.finish_reason = "stop"
        elif len(self.written) >= self.limit:
            self.finish_reason = "length"


class Batch:
    """The sequences that are being written, at most `slots` of them, in slots 0 … n-1 of the cache."""

    def __init__(self, model: Any, slots: int, stops: frozenset[int]) -> None:
        self.model, self.slots, self.stops = model, slots, stops
        self.active: list[RunningSequence] = []
        self._cache = SlotCache(slots, model.config.num_hidden_layers)
        self._held: list[list[int]] = [[] for _ in range(slots)]  # the first tokens whose keys each slot still holds

    @property
    def room(self) -> int:
        """How many sequences may join."""
        return self.slots - len(self.active)

    @torch.inference_mode()  # type: ignore[untyped-decorator, unused-ignore]
    def join(self, sequences: Sequence[RunningSequence]) -> None:
        """Read the prompts of new sequences (at most `room`) and make them active."""
        waiting = sorted(sequences, key=lambda sequence: sequence.tokens)
        if len(waiting) > 1 and self._begins_anew(waiting[0], waiting[1]):
            self._read(waiting[:1])
            waiting = waiting[1:]
        while waiting:
            width = max(len(sequence.tokens) for sequence in waiting)
            together = max(1, _READ_AT_ONCE // width)
            self._read(waiting[:together])
            waiting = waiting[together:]

    @torch.inference_mode()  # type: ignore[untyped-decorator, unused-ignore]
    def step(self) -> list[RunningSequence]:
        """Write one token in each sequence; those that ended leave, and are returned."""
        rows = self.active
        logits = forward(
            self.model,
            self._cache,
            0,
            self._tensor([[row.newest] for row in rows]),
            self._tensor([row.position for row in rows]),
        )
        for row, token in zip(rows, self._draw(logits, rows), strict=True):
            row.take(token, self.stops)
        return [self._leave(slot) for slot in reversed(range(len(rows))) if rows[slot].finish_reason]

    def _draw(self, logits: torch.Tensor, rows: Sequence[RunningSequence]) -> list[int]:
        """A token for each row of logits (rows, vocabulary); under a mask only where a free draw was refused."""
        tokens = _sample(logits, rows)
        refused = [
            place
            for place, row in enumerate(rows)
            if row.matcher is not None and not allows(row.matcher, tokens[place], self.stops)
        ]
        if refused:
            chosen, masked = [rows[place] for place in refused], logits[refused]
            apply_mask(masked, [row.matcher for row in chosen])
            for place, token in zip(refused, _sample(masked, chosen), strict=True):
                tokens[place] = token
        return tokens

    def _begins_anew(self, first: RunningSequence, second: RunningSequence) -> bool:
        """Whether two prompts share more with each other than with all that the slots hold."""
        known = max(_common(first.tokens, held) for held in self._held)
        return _common(first.tokens, second.tokens) > known

    def _read(self, sequences: Sequence[RunningSequence]) -> None:
        heartbeat()
        first = len(self.active)
        starts = [self._reuse(first + row, sequence.tokens[:-1]) for row, sequence in enumerate(sequences)]
        rests = [sequence.tokens[start:-1] for sequence, start in zip(sequences, starts, strict=True)]
        width = max(len(rest) for rest in rests)
        if width:
            padded = [rest + [0] * (width - len(rest)) for rest in rests]
            forward(self.model, self._cache, first, self._tensor(padded), self._tensor(starts))
        for row, sequence in enumerate(sequences):
            self._held[first + row] = sequence.tokens[:-1]
        self.active.extend(sequences)

    def _reuse(self, slot: int, prompt: list[int]) -> int:
        """Fill the slot with the longest known beginning of a prompt; its length."""
        shared = [_common(prompt, held) for held in self._held]
        length = max(shared)
        # The slot itself first: nothing is to be copied then.
        source = slot if shared[slot] == length else shared.index(length)
        if source != slot:
            self._cache.copy(source, slot, length)
        self._held[slot] = prompt[:length]
        return length

    def _leave(self, slot: int) -> RunningSequence:
        """Take a sequence out; the last one moves into its slot."""
        gone, last = self.active[slot], self.active.pop()
        if last is not gone:
            self._cache.copy(len(self.active), slot, last.position)
            self._held[slot] = self._held[len(self.active)]
            self.active[slot] = last
        return gone

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


def _common(first: list[int], second: list[int]) -> int:
    """The length of the beginning that two lists share."""
    for index, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            return index
    return min(len(first), len(second))
