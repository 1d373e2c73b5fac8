"""The matcher of one answer: its state during generation, and the tokens allowed next.

The state is a position in the automaton of the format and, within a reference, in the trie. Where a reference may end
or continue (the id `12` is a prefix of the id `12)`), both branches are followed until the bytes decide.

The products allowed in a reference slot are determined when the recommendation's name is complete, before its
paragraph: the available products that this answer has not referenced yet, restricted to the linker's candidates for the
name if there is a linker. Without candidates, the branch with a product is blocked; with candidates, the branch without
a product is blocked, unless too few tokens remain.

A token is allowed only if the answer can still be completed within the remaining tokens, so an answer is never
truncated. Well before this limit, a line that exceeds its token budget ends with its sentence, and no new
recommendation begins.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skutune.answer_format import BULLET, parse_reference
from skutune.decoding.automaton import DEAD, NO_CLOSE, PRODUCT, START
from skutune.decoding.masks import Grammar, Mask
from skutune.decoding.trie import Leaves
from skutune.errors import InputError

Allowed = Callable[[str], Collection[str]]
"""Maps a recommendation's name to the ids of the products allowed in its slot; no ids: no close product."""

_LINE_TOKENS = {"introduction": 72, "name": 12, "paragraph": 96, "conclusion": 96}
"""Token budget of a line of prose: beyond it the line ends with its sentence, beyond 1.5 times it immediately."""
_SENTENCE_ROOM = 40
"""With fewer spare tokens, a line of prose ends with its sentence."""
_SENTENCE_ENDS = tuple(mark.encode() for mark in ".!?。！？")
_AFTER_NAME = ("colon", "paragraph", "reference", "product")
_DEPTH_STEP = 16
_REFERENCE_DIVISOR = 3
"""References longer than `max_tokens // 3` are excluded, so that one long name cannot use up an answer's tokens."""


class Limits:
    """The constraints that all answers of one request share: the available products and the number of tokens."""

    def __init__(
        self,
        grammar: Grammar,
        max_tokens: int,
        unavailable: Collection[str] = (),
        only: Collection[str] | None = None,
    ) -> None:
        """Restrict answers to `max_tokens` and to available products.

        Args:
            grammar: the vocabulary, the automaton and the trie.
            max_tokens: maximum length of an answer, in tokens.
            unavailable: ids of excluded products.
            only: ids of the only products that may be referenced; None: all.

        Raises:
            InputError: no answer fits into `max_tokens`.
        """
        trie = grammar.trie
        self.grammar = grammar
        self.max_tokens = max_tokens
        excluded = np.union1d(trie.leaves_of(unavailable), trie.longer_than(max_tokens // _REFERENCE_DIVISOR))
        if only is not None:
            excluded = np.union1d(excluded, np.delete(np.arange(len(trie.ids)), trie.leaves_of(only)))
        self.excluded: Leaves = excluded.astype(np.int32)
        self.available = trie.availability_without(self.excluded)
        longest = int(np.delete(trie.lengths, self.excluded).max(initial=-1))
        # Rounded up, so that requests with different products share masks.
        self.masks = grammar.masks(-(-longest // _DEPTH_STEP) * _DEPTH_STEP if longest >= 0 else -1)
        if self.masks.min_tokens[START] > max_tokens:
            raise InputError(f"no answer fits into {max_tokens} tokens; allow at least {self.masks.min_tokens[START]}")

    def only_available(self, leaves: Leaves) -> Leaves:
        """Filter sorted leaves to those that are available."""
        return leaves[self.available[leaves + 1] > self.available[leaves]]


class Choices(NamedTuple):
    """The tokens allowed next: the union of several masks and an array of token ids."""

    masks: tuple[Mask, ...]
    tokens: NDArray[np.int32]

    def token_ids(self) -> NDArray[np.int64]:
        """The sorted ids of all allowed tokens."""
        sources = [self.tokens.astype(np.int64), *(np.flatnonzero(mask) for mask in self.masks)]
        non_empty = [tokens for tokens in sources if len(tokens)]
        return non_empty[0] if len(non_empty) == 1 else np.unique(np.concatenate(sources))


_NO_TOKENS = np.zeros(0, np.int32)


class EmptyAnswer:
    """The matcher of an answer that cannot be generated: it ends immediately, and is empty rather than truncated."""

    def __init__(self, ends: tuple[int, ...]) -> None:
        self.ends = ends
        self.ended = False

    def choices(self) -> Choices:
        """The end-of-sequence tokens."""
        return Choices((), np.array(self.ends, np.int32))

    def accept(self, token: int) -> None:
        """Accept the last token."""
        self.ended = True


class AnswerMatcher:
    """The state of one answer during generation; `allowed` restricts each slot to the candidates for its name."""

    def __init__(self, limits: Limits, allowed: Allowed | None = None) -> None:
        self.limits = limits
        self.tokens: list[int] = []
        self.ended = False
        self._allowed = allowed
        self._states: tuple[int, ...] = (START,)
        self._available = limits.available
        self._item_number = 0  # of the recommendation that `_available` and `_blocked` are for
        self._blocked = 0 if allowed is None else 1 << PRODUCT
        self._node = -1
        self._depth = 0
        self._after_product = DEAD
        self._line = 0
        self._line_tokens = 0

    @property
    def ends(self) -> tuple[int, ...]:
        """The end-of-sequence tokens."""
        return self.limits.grammar.vocabulary.ends

    @property
    def remaining(self) -> int:
        """The number of tokens left."""
        return self.limits.max_tokens - len(self.tokens)

    @property
    def is_complete(self) -> bool:
        """Whether the text so far is a complete answer."""
        return any(bool(self.limits.grammar.automaton.accepts[state]) for state in self._states)

    def text(self) -> str:
        """The text so far."""
        return self.limits.grammar.vocabulary.text_bytes(self.tokens).decode("utf-8", "replace").strip()

    def choices(self) -> Choices:
        """The tokens allowed next; at least one unless the answer has ended."""
        masks = tuple(self._automaton_mask(state) for state in self._states)
        if self._node < 0:
            return Choices(masks, _NO_TOKENS)
        trie = self.limits.grammar.trie
        return Choices(masks, trie.tokens[trie.available_children(self._node, self._available)])

    def accept(self, token: int) -> None:
        """Advance the state by a token. Raises ValueError if the token is not allowed."""
        vocabulary, automaton = self.limits.grammar.vocabulary, self.limits.grammar.automaton
        if self.ended or (token in vocabulary.ends and not self.is_complete):
            raise ValueError(f"token {token} is not allowed: the answer has already ended or is incomplete")
        if token in vocabulary.ends:
            self.ended = True
            return
        text = vocabulary.tokens[token]
        states = {automaton.walk(state, text) for state in self._states} if text else set()
        self._descend(token, states)
        self._states = tuple(sorted(states - {DEAD}))
        if not self._states and self._node < 0:
            raise ValueError(f"token {token} ({text!r}) is not allowed here")
        self.tokens.append(token)
        self._update_slot()
        self._enter_trie()
        self._count_line_tokens()

    def _descend(self, token: int, states: set[int]) -> None:
        """Advance in the trie; where a reference may end, add the state after it."""
        if self._node < 0:
            return
        trie = self.limits.grammar.trie
        self._node = trie.child(self._node, token)
        self._depth += 1
        if self._node >= 0 and trie.ends_at(self._node, self._depth, self._available):
            states.add(self._after_product)

    def _update_slot(self) -> None:
        """Update the products allowed in a recommendation's slot once its name is complete."""
        if not self._states:
            return
        automaton, state = self.limits.grammar.automaton, self._states[0]
        item = int(automaton.item[state])
        if self._allowed is None:
            if item > max(self._item_number, 1) and automaton.slot[state] in _AFTER_NAME:
                self._item_number = item
                self._available = self._not_yet_referenced()
        elif item != self._item_number:
            self._blocked = 1 << PRODUCT
            if automaton.slot[state] in _AFTER_NAME:
                self._item_number = item
                self._restrict_to_allowed(self._allowed)

    def _restrict_to_allowed(self, allowed: Allowed) -> None:
        trie = self.limits.grammar.trie
        candidates = self.limits.only_available(trie.leaves_of(allowed(self._item_name())))
        unused = np.setdiff1d(candidates, self._referenced_products()).astype(np.int32)
        self._available = trie.availability(unused if len(unused) else candidates)
        self._blocked = 1 << (NO_CLOSE if len(candidates) else PRODUCT)

    def _not_yet_referenced(self) -> NDArray[np.int32]:
        """The available products without those that this answer references; if none is left, all available ones."""
        remaining = self.limits.available.copy()
        for leaf in self.limits.only_available(self._referenced_products()):
            remaining[leaf + 1 :] -= 1
        return remaining if remaining[-1] else self.limits.available

    def _referenced_products(self) -> Leaves:
        """The products referenced so far."""
        lines = [line for line in self.text().partition("\n\n")[2].split("\n") if line.startswith("(")]
        references = [parse_reference(line) for line in lines]
        return self.limits.grammar.trie.leaves_of([reference.id for reference in references if reference is not None])

    def _item_name(self) -> str:
        """The name of the current recommendation."""
        return self.text().rpartition("\n" + BULLET)[2].partition(": ")[0].removesuffix(":")

    def _enter_trie(self) -> None:
        """Enter the trie at the start of a product reference."""
        after_product = self.limits.grammar.automaton.after_product
        for state in self._states:
            if after_product[state] != DEAD:
                self._states, self._node, self._depth, self._after_product = (), 0, 0, int(after_product[state])
                return

    def _count_line_tokens(self) -> None:
        line = int(self.limits.grammar.automaton.line[self._states[0]]) if len(self._states) == 1 else 0
        self._line_tokens = self._line_tokens + 1 if line and line == self._line else 0
        self._line = line

    def _automaton_mask(self, state: int) -> Mask:
        ends_line = bool(self._line) and self._line_should_end(state)
        return self.limits.masks.mask(state, self.remaining, ends_line=ends_line, blocked=self._blocked)

    def _line_should_end(self, state: int) -> bool:
        budget = _LINE_TOKENS[self.limits.grammar.automaton.slot[state]]
        if 2 * self._line_tokens >= 3 * budget:
            return True
        spare = self.remaining - int(self.limits.masks.min_tokens[state])
        # A non-ASCII mark may be three tokens of one byte each.
        at_sentence = self.limits.grammar.vocabulary.text_bytes(self.tokens[-3:]).endswith(_SENTENCE_ENDS)
        return at_sentence and (self._line_tokens >= budget or spare < _SENTENCE_ROOM)
