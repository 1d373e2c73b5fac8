"""One answer while it is being written: which tokens may come next, and what they change.

A draft is a cursor in the template's automaton, and in the trie while a reference is written. Where a reference may
end or go on (the id `12` beside the id `12)`), both are followed until the bytes decide.

Room: a token is allowed only where the answer can still be ended within the tokens that remain, so an answer is never
cut. Long before, a line that has used its share ends with its sentence, and no further recommendation is begun.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from skutune.decoding.template import DEAD, NEVER, START, build_template
from skutune.decoding.trie import TokenTrie
from skutune.decoding.vocabulary import Vocabulary
from skutune.errors import InputError

_LINE_TOKENS = {"introduction": 72, "name": 12, "paragraph": 96, "conclusion": 96}
"""Tokens after which a line of prose ends with its sentence; after half as many more it ends at once."""
_SENTENCE_ROOM = 40
"""Spare tokens below which a line of prose ends with its sentence."""
_ITEM_ROOM = 80
"""Spare tokens below which no further recommendation is begun."""
_SENTENCE_ENDS = (b".", b"!", b"?")
_CACHED_STATES = 256  # 100 KB each for a vocabulary of 50,000


class Grammar:
    """What all drafts of a catalog share: the vocabulary, the template's automaton and the trie."""

    def __init__(self, vocabulary: Vocabulary, trie: TokenTrie, min_items: int = 1, max_items: int = 5) -> None:
        """Raises InputError where the trie was built for another tokenizer."""
        if trie.vocabulary_digest != vocabulary.digest:
            raise InputError("the trie of the catalog was built for another tokenizer: build it again for this model")
        self.vocabulary = vocabulary
        self.trie = trie
        self.template = build_template(vocabulary.single_bytes, min_items, max_items)
        self.after = lru_cache(maxsize=_CACHED_STATES)(self._after)

    def _after(self, state: int) -> NDArray[np.int16]:
        """The state after each token, shape (tokens,), int16; DEAD where the format does not allow it."""
        vocabulary, table = self.vocabulary, self.template.table
        after = np.full(len(vocabulary), DEAD, np.int16)
        alive = np.flatnonzero(vocabulary.lengths > 0)
        states = np.full(len(alive), state, np.int16)
        position = 0
        while len(alive):
            states = table[states, vocabulary.flat[vocabulary.starts[alive] + position]]
            position += 1
            ended = vocabulary.lengths[alive] == position
            after[alive[ended]] = states[ended]
            going = ~ended & (states != DEAD)
            alive, states = alive[going], states[going]
        return after


class Limits:
    """What all drafts of one request share: what is unavailable, and how many tokens an answer may have."""

    def __init__(self, grammar: Grammar, max_tokens: int, unavailable: Collection[str] = ()) -> None:
        """Raises InputError where no answer fits into so few tokens."""
        trie, template = grammar.trie, grammar.template
        self.grammar = grammar
        self.max_tokens = max_tokens
        # One product with a name of a thousand tokens must not take the room of all others.
        self.unavailable = np.union1d(trie.leaves_of(unavailable), trie.longer_than(max_tokens // 3)).astype(np.int32)
        depth = int(np.delete(trie.lengths, self.unavailable).max(initial=-1))
        through = template.through_product * (depth if depth >= 0 else NEVER)
        self.bound = np.minimum(template.cost + through, NEVER).astype(np.int32)
        if self.bound[START] > max_tokens:
            raise InputError(f"no answer fits into {max_tokens} tokens: allow at least {self.bound[START]}")

    @cached_property
    def roots(self) -> NDArray[np.int32]:
        """The living children of the trie's root."""
        return self.grammar.trie.living_children(0, self.unavailable)

    def living_children(self, node: int) -> NDArray[np.int32]:
        """The children of a node below which a product is available."""
        return self.roots if node == 0 else self.grammar.trie.living_children(node, self.unavailable)


class Draft:
    """One answer in progress."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.tokens: list[int] = []
        self.ended = False
        self._states: tuple[int, ...] = (START,)
        self._node = -1
        self._depth = 0
        self._close = DEAD
        self._line = 0
        self._line_tokens = 0

    @property
    def remaining(self) -> int:
        """The tokens that may still be written."""
        return self.limits.max_tokens - len(self.tokens)

    @property
    def is_whole(self) -> bool:
        """Whether the text so far is a whole answer."""
        return any(bool(self.limits.grammar.template.accepts[state]) for state in self._states)

    def text(self) -> str:
        """The text so far."""
        return self.limits.grammar.vocabulary.text_bytes(self.tokens).decode("utf-8", "replace").strip()

    def allowed(self) -> NDArray[np.bool_]:
        """Which tokens may come next, shape (tokens,), bool; at least one may unless the draft has ended."""
        grammar = self.limits.grammar
        mask = np.zeros(len(grammar.vocabulary), np.bool_)
        for state in self._states:
            mask |= self._prose_or_literal(state)
        if self._node >= 0:
            mask[grammar.trie.tokens[self.limits.living_children(self._node)]] = True
        if self.is_whole:
            mask[list(grammar.vocabulary.ends)] = True
        return mask

    def accept(self, token: int) -> None:
        """Write one more token. Raises ValueError for one that is not allowed."""
        vocabulary, template = self.limits.grammar.vocabulary, self.limits.grammar.template
        if self.ended or (token in vocabulary.ends and not self.is_whole):
            raise ValueError(f"token {token} comes where the answer has or has not ended")
        if token in vocabulary.ends:
            self.ended = True
            return
        text = vocabulary.tokens[token]
        states = {template.walk(state, text) for state in self._states} if text else set()
        self._descend(token, states)
        self._states = tuple(sorted(states - {DEAD}))
        if not self._states and self._node < 0:
            raise ValueError(f"token {token} ({text!r}) is not allowed here")
        self.tokens.append(token)
        self._arm()
        self._count_line()

    def _descend(self, token: int, states: set[int]) -> None:
        """One step down the trie; a reference that ends there adds the state behind it."""
        if self._node < 0:
            return
        trie, unavailable = self.limits.grammar.trie, self.limits.unavailable
        self._node = trie.child(self._node, token)
        self._depth += 1
        if self._node >= 0 and trie.ends_at(self._node, self._depth, unavailable):
            states.add(self._close)

    def _arm(self) -> None:
        """Enter the trie where the slot of a product is reached."""
        closes = self.limits.grammar.template.closes
        for state in self._states:
            if closes[state] != DEAD:
                self._states, self._node, self._depth, self._close = (), 0, 0, int(closes[state])
                return

    def _count_line(self) -> None:
        line = int(self.limits.grammar.template.line[self._states[0]]) if len(self._states) == 1 else 0
        self._line_tokens = self._line_tokens + 1 if line and line == self._line else 0
        self._line = line

    def _prose_or_literal(self, state: int) -> NDArray[np.bool_]:
        """Which tokens the template allows from a state, within the room there is."""
        template, bound = self.limits.grammar.template, self.limits.bound
        after = self.limits.grammar.after(state)
        costs = bound[after]
        fits = costs < self.remaining
        # From here on only what ends the line: each token brings the end of the answer closer.
        if self._line and self._line_should_end(state):
            wanted = fits & (costs < bound[state])
            return wanted if wanted.any() or template.accepts[state] else fits
        wanted = fits & ((template.item[after] == template.item[state]) | (costs + _ITEM_ROOM < self.remaining))
        return wanted if wanted.any() or template.accepts[state] else fits

    def _line_should_end(self, state: int) -> bool:
        tokens = _LINE_TOKENS[self.limits.grammar.template.slot[state]]
        if 2 * self._line_tokens >= 3 * tokens:
            return True
        spare = self.remaining - int(self.limits.bound[state])
        at_sentence = self.limits.grammar.vocabulary.tokens[self.tokens[-1]].endswith(_SENTENCE_ENDS)
        return at_sentence and (self._line_tokens >= tokens or spare < _SENTENCE_ROOM)
