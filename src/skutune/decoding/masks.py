"""Cached token masks of the answer automaton.

A mask depends on the automaton's state, and on the number of remaining tokens only through the thresholds that it
exceeds: far from the end of an answer all numbers of remaining tokens are equivalent. Nearly every decoding step
therefore finds its mask in the cache, without a computation over the vocabulary.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from skutune.decoding.automaton import DEAD, UNREACHABLE, AnswerAutomaton, build_automaton
from skutune.decoding.trie import TokenTrie
from skutune.decoding.vocabulary import Vocabulary
from skutune.errors import InputError

Mask = NDArray[np.bool_]
"""The tokens allowed next, shape (tokens,), bool. Shared and read-only."""

_ITEM_TOKENS = 80
"""With fewer spare tokens, no new recommendation begins."""
_KEPT_STATES = 256  # 100 KB each for a vocabulary of 50,000
_KEPT_MASKS = 512  # half of that each
_KEPT_DEPTHS = 8


class Masks:
    """The masks of all states if the longest available reference has `depth` tokens (-1: no product is available).

    `min_tokens[state]` is the number of tokens within which an answer can be completed from there, shape (s,), int32.
    """

    def __init__(self, grammar: Grammar, depth: int) -> None:
        automaton = grammar.automaton
        through = automaton.through_product * (depth if depth >= 0 else UNREACHABLE)
        self.min_tokens = np.minimum(automaton.cost + through, UNREACHABLE).astype(np.int32)
        self._grammar = grammar
        self._costs: Callable[[int], list[int]] = lru_cache(maxsize=None)(self._distinct_costs)
        self._mask: Callable[[int, int, int, bool, int], Mask] = lru_cache(maxsize=_KEPT_MASKS)(self._build_mask)

    def mask(self, state: int, remaining: int, *, ends_line: bool, blocked: int) -> Mask:
        """The tokens allowed in a state when `remaining` tokens are left.

        Args:
            ends_line: allow only tokens that bring the end of the line of prose closer.
            blocked: branches to avoid if there is an alternative, as a bit set of `1 << branch`.
        """
        costs = self._costs(state)
        num_costs, num_item_costs = bisect_left(costs, remaining), bisect_left(costs, remaining - _ITEM_TOKENS)
        return self._mask(state, num_costs, num_item_costs, ends_line, blocked)

    def _distinct_costs(self, state: int) -> list[int]:
        costs = np.unique(self.min_tokens[np.unique(self._grammar.next_states(state))])
        return [int(cost) for cost in costs if cost < UNREACHABLE]

    def _build_mask(self, state: int, num_costs: int, num_item_costs: int, ends_line: bool, blocked: int) -> Mask:
        """The mask that allows the `num_costs` lowest costs, but `num_item_costs` of them for a new recommendation."""
        automaton, next_states, costs = self._grammar.automaton, self._grammar.next_states(state), self._costs(state)
        cost_rank = np.searchsorted(costs, self.min_tokens[next_states])
        fits = (next_states != DEAD) & (cost_rank < num_costs)
        preferred = fits & ((1 << automaton.branch[next_states]) & blocked == 0)
        if ends_line:
            preferred &= self.min_tokens[next_states] < self.min_tokens[state]
        else:
            preferred &= (automaton.item[next_states] == automaton.item[state]) | (cost_rank < num_item_costs)
        is_complete = bool(automaton.accepts[state])
        mask: Mask = preferred if is_complete or preferred.any() else fits
        mask[list(self._grammar.vocabulary.ends)] = is_complete
        mask.flags.writeable = False
        return mask


class Grammar:
    """The vocabulary, the automaton, the trie and the masks, which all answers of a catalog share."""

    def __init__(self, vocabulary: Vocabulary, trie: TokenTrie, min_items: int = 1, max_items: int = 5) -> None:
        """Raises InputError if the trie was built for another tokenizer."""
        if trie.vocabulary_digest != vocabulary.digest:
            raise InputError("the catalog trie was built for another tokenizer; rebuild it for this model")
        self.vocabulary = vocabulary
        self.trie = trie
        self.automaton: AnswerAutomaton = build_automaton(vocabulary.single_bytes, min_items, max_items)
        self.next_states: Callable[[int], NDArray[np.int16]] = lru_cache(maxsize=_KEPT_STATES)(self._next_states)
        self.masks: Callable[[int], Masks] = lru_cache(maxsize=_KEPT_DEPTHS)(lambda depth: Masks(self, depth))

    def _next_states(self, state: int) -> NDArray[np.int16]:
        """The state after each token, shape (tokens,), int16; DEAD if the format does not allow the token."""
        vocabulary, table = self.vocabulary, self.automaton.table
        next_states = np.full(len(vocabulary), DEAD, np.int16)
        alive = np.flatnonzero(vocabulary.lengths > 0)
        states = np.full(len(alive), state, np.int16)
        position = 0
        while len(alive):
            states = table[states, vocabulary.flat[vocabulary.starts[alive] + position]]
            position += 1
            ended = vocabulary.lengths[alive] == position
            next_states[alive[ended]] = states[ended]
            going = ~ended & (states != DEAD)
            alive, states = alive[going], states[going]
        return next_states
