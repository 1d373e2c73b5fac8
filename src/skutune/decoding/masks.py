"""Which tokens the answer's template lets in, as masks that are made once and kept.

A mask depends on the automaton's state, and beside it only on how many of the thresholds of its tokens the room that
is left has passed: far from an answer's end all rooms are equal. So nearly every step of every answer finds its mask
made, and nothing over the vocabulary is computed while a model waits.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from skutune.decoding.automaton import DEAD, NEVER, AnswerAutomaton, build_automaton
from skutune.decoding.trie import TokenTrie
from skutune.decoding.vocabulary import Vocabulary
from skutune.errors import InputError

Mask = NDArray[np.bool_]
"""Which tokens may come next, shape (tokens,), bool. Shared: never written to."""

_ITEM_ROOM = 80
"""Spare tokens below which no further recommendation is begun."""
_KEPT_STATES = 256  # 100 KB each for a vocabulary of 50,000
_KEPT_MASKS = 512  # half of that each
_KEPT_DEPTHS = 8


class Masks:
    """The masks of all states, where the longest reference that may be written has `depth` tokens (-1: there is none).

    `bound[state]`: tokens within which an answer can be ended from there, shape (s,), int32.
    """

    def __init__(self, grammar: Grammar, depth: int) -> None:
        template = grammar.template
        through = template.through_product * (depth if depth >= 0 else NEVER)
        self.bound = np.minimum(template.cost + through, NEVER).astype(np.int32)
        self._grammar = grammar
        self._costs: Callable[[int], list[int]] = lru_cache(maxsize=None)(self._distinct_costs)
        self._mask: Callable[[int, int, int, bool, int], Mask] = lru_cache(maxsize=_KEPT_MASKS)(self._made)

    def mask(self, state: int, room: int, *, ends_line: bool, barred: int) -> Mask:
        """The tokens that may follow a state where `room` tokens may still be written.

        Args:
            ends_line: only what brings the end of the line of prose closer.
            barred: a set of branches, as bits `1 << branch`, that must not be entered where another way is left.
        """
        costs = self._costs(state)
        within, within_item = bisect_left(costs, room), bisect_left(costs, room - _ITEM_ROOM)
        return self._mask(state, within, within_item, ends_line, barred)

    def _distinct_costs(self, state: int) -> list[int]:
        costs = np.unique(self.bound[np.unique(self._grammar.after(state))])
        return [int(cost) for cost in costs if cost < NEVER]

    def _made(self, state: int, within: int, within_item: int, ends_line: bool, barred: int) -> Mask:
        """The mask for a room above the `within` lowest costs, and above `within_item` of them with another item."""
        template, after, costs = self._grammar.template, self._grammar.after(state), self._costs(state)
        reached = np.searchsorted(costs, self.bound[after])
        fits = (after != DEAD) & (reached < within)
        wanted = fits & ((1 << template.branch[after]) & barred == 0)
        if ends_line:
            wanted &= self.bound[after] < self.bound[state]
        else:
            wanted &= (template.item[after] == template.item[state]) | (reached < within_item)
        whole = bool(template.accepts[state])
        mask: Mask = wanted if whole or wanted.any() else fits
        mask[list(self._grammar.vocabulary.ends)] = whole
        mask.flags.writeable = False
        return mask


class Grammar:
    """What all answers of a catalog share: the vocabulary, the template's automaton, the trie and the masks."""

    def __init__(self, vocabulary: Vocabulary, trie: TokenTrie, min_items: int = 1, max_items: int = 5) -> None:
        """Raises InputError where the trie was built for another tokenizer."""
        if trie.vocabulary_digest != vocabulary.digest:
            raise InputError("the trie of the catalog was built for another tokenizer: build it again for this model")
        self.vocabulary = vocabulary
        self.trie = trie
        self.template: AnswerAutomaton = build_automaton(vocabulary.single_bytes, min_items, max_items)
        self.after: Callable[[int], NDArray[np.int16]] = lru_cache(maxsize=_KEPT_STATES)(self._after)
        self.masks: Callable[[int], Masks] = lru_cache(maxsize=_KEPT_DEPTHS)(lambda depth: Masks(self, depth))

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
