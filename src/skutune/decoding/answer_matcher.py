"""One answer while it is being written: which tokens may come next, and what they change.

A draft is a cursor in the template's automaton, and in the trie while a reference is written. Where a reference may
end or go on (the id `12` beside the id `12)`), both are followed until the bytes decide.

What a slot may hold is decided once its recommendation has a name, before the paragraph is written: the products in
stock that this answer has not named yet, or of those only the ones that a linker found for the name. Where the linker
found none, the way into a product's reference is closed; where it found some, the way around it is, if there is room.

Room: a token is allowed only where the answer can still be ended within the tokens that remain, so an answer is never
cut. Long before, a line that has used its share ends with its sentence, and no further recommendation is begun.
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
"""From a recommendation's name to the ids of the products that its slot may hold; none means no close product."""

_LINE_TOKENS = {"introduction": 72, "name": 12, "paragraph": 96, "conclusion": 96}
"""Tokens after which a line of prose ends with its sentence; after half as many more it ends at once."""
_SENTENCE_ROOM = 40
"""Spare tokens below which a line of prose ends with its sentence."""
_SENTENCE_ENDS = tuple(mark.encode() for mark in ".!?。！？")
_BEHIND_NAME = ("colon", "paragraph", "reference", "product")
_DEPTH_STEP = 16
_LONGEST_SHARE = 3
"""A reference of more than this part of an answer's tokens is not written: one name must not take all others' room."""


class Limits:
    """What all drafts of one request share: what is in stock, and how many tokens an answer may have."""

    def __init__(
        self,
        grammar: Grammar,
        max_tokens: int,
        unavailable: Collection[str] = (),
        only: Collection[str] | None = None,
    ) -> None:
        """`only`: ids of the products that may be named, None for all. InputError: no answer fits into the tokens."""
        trie = grammar.trie
        self.grammar = grammar
        self.max_tokens = max_tokens
        gone = np.union1d(trie.leaves_of(unavailable), trie.longer_than(max_tokens // _LONGEST_SHARE))
        if only is not None:
            gone = np.union1d(gone, np.delete(np.arange(len(trie.ids)), trie.leaves_of(only)))
        self.gone: Leaves = gone.astype(np.int32)
        self.stock = trie.stock_without(self.gone)
        longest = int(np.delete(trie.lengths, self.gone).max(initial=-1))
        # In coarse steps: requests with few products each share masks with others instead of making their own.
        self.masks = grammar.masks(-(-longest // _DEPTH_STEP) * _DEPTH_STEP if longest >= 0 else -1)
        if self.masks.bound[START] > max_tokens:
            raise InputError(f"no answer fits into {max_tokens} tokens: allow at least {self.masks.bound[START]}")

    def held(self, leaves: Leaves) -> Leaves:
        """Those of some sorted leaves that are in stock."""
        return leaves[self.stock[leaves + 1] > self.stock[leaves]]


class Choices(NamedTuple):
    """Which tokens may come next: those of any of the masks, and those of an array of tokens."""

    masks: tuple[Mask, ...]
    tokens: NDArray[np.int32]

    def listed(self) -> NDArray[np.int64]:
        """The numbers of all these tokens, sorted."""
        each = [self.tokens.astype(np.int64), *(np.flatnonzero(mask) for mask in self.masks)]
        some = [tokens for tokens in each if len(tokens)]
        return some[0] if len(some) == 1 else np.unique(np.concatenate(each))


_NO_TOKENS = np.zeros(0, np.int32)


class EmptyAnswer:
    """An answer that cannot be written: it ends at once, and is empty rather than cut."""

    def __init__(self, ends: tuple[int, ...]) -> None:
        self.ends = ends
        self.ended = False

    def choices(self) -> Choices:
        """The tokens that end a text."""
        return Choices((), np.array(self.ends, np.int32))

    def accept(self, token: int) -> None:
        """Write one more token, which is the last."""
        self.ended = True


class AnswerMatcher:
    """One answer in progress. With `allowed`, a slot holds only what that names for the recommendation's name."""

    def __init__(self, limits: Limits, allowed: Allowed | None = None) -> None:
        self.limits = limits
        self.tokens: list[int] = []
        self.ended = False
        self._allowed = allowed
        self._states: tuple[int, ...] = (START,)
        self._stock = limits.stock
        self._item = 0  # the recommendation whose slot has been decided
        self._barred = 0 if allowed is None else 1 << PRODUCT
        self._node = -1
        self._depth = 0
        self._close = DEAD
        self._line = 0
        self._line_tokens = 0

    @property
    def ends(self) -> tuple[int, ...]:
        """The tokens that end a text."""
        return self.limits.grammar.vocabulary.ends

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

    def choices(self) -> Choices:
        """What may come next; at least one token unless the draft has ended."""
        masks = tuple(self._template_mask(state) for state in self._states)
        if self._node < 0:
            return Choices(masks, _NO_TOKENS)
        trie = self.limits.grammar.trie
        return Choices(masks, trie.tokens[trie.living_children(self._node, self._stock)])

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
        self._decide_slot()
        self._arm()
        self._count_line()

    def _descend(self, token: int, states: set[int]) -> None:
        """One step down the trie; a reference that ends there adds the state behind it."""
        if self._node < 0:
            return
        trie = self.limits.grammar.trie
        self._node = trie.child(self._node, token)
        self._depth += 1
        if self._node >= 0 and trie.ends_at(self._node, self._depth, self._stock):
            states.add(self._close)

    def _decide_slot(self) -> None:
        """Decide what the slot of a recommendation may hold, once its name is written."""
        if not self._states:
            return
        template, state = self.limits.grammar.template, self._states[0]
        item = int(template.item[state])
        if self._allowed is None:
            if item > max(self._item, 1) and template.slot[state] in _BEHIND_NAME:
                self._item = item
                self._stock = self._unnamed_stock()
        elif item != self._item:
            self._barred = 1 << PRODUCT
            if template.slot[state] in _BEHIND_NAME:
                self._item = item
                self._link(self._allowed)

    def _link(self, allowed: Allowed) -> None:
        trie = self.limits.grammar.trie
        found = self.limits.held(trie.leaves_of(allowed(self._name())))
        unnamed = np.setdiff1d(found, self._named()).astype(np.int32)
        self._stock = trie.stock(unnamed if len(unnamed) else found)
        self._barred = 1 << (NO_CLOSE if len(found) else PRODUCT)

    def _unnamed_stock(self) -> NDArray[np.int32]:
        """The stock without what this answer has named; the whole stock where that would be nothing."""
        stock = self.limits.stock.copy()
        for leaf in self.limits.held(self._named()):
            stock[leaf + 1 :] -= 1
        return stock if stock[-1] else self.limits.stock

    def _named(self) -> Leaves:
        """The products that the references written so far name."""
        lines = [line for line in self.text().partition("\n\n")[2].split("\n") if line.startswith("(")]
        references = [parse_reference(line) for line in lines]
        return self.limits.grammar.trie.leaves_of([each.id for each in references if each is not None])

    def _name(self) -> str:
        """The name of the recommendation whose paragraph is being written."""
        return self.text().rpartition("\n" + BULLET)[2].partition(": ")[0].removesuffix(":")

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

    def _template_mask(self, state: int) -> Mask:
        ends_line = bool(self._line) and self._line_should_end(state)
        return self.limits.masks.mask(state, self.remaining, ends_line=ends_line, barred=self._barred)

    def _line_should_end(self, state: int) -> bool:
        tokens = _LINE_TOKENS[self.limits.grammar.template.slot[state]]
        if 2 * self._line_tokens >= 3 * tokens:
            return True
        spare = self.remaining - int(self.limits.masks.bound[state])
        # A mark may be three tokens, of a byte each.
        at_sentence = self.limits.grammar.vocabulary.text_bytes(self.tokens[-3:]).endswith(_SENTENCE_ENDS)
        return at_sentence and (self._line_tokens >= tokens or spare < _SENTENCE_ROOM)
