"""The answer format as an automaton over bytes.

`answer_format.py` defines the answer; here the format is a table: from each state, which byte leads where. Literals
are chains of states, prose is free within its rules (UTF-8; single spaces inside, none around; no line break; never the
words of a reference), and the slot of a product is one state that has no bytes: there the trie takes over. The items
are unrolled, so the state also knows how many were written and whether another may follow or must.

The table is made by exploring `_step`, which reads as the format does. `cost` is the fewest bytes from a state to a
whole answer: as each byte it counts is a token by itself, an answer can always be ended within that many tokens.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skutune.answer_format import BULLET, GAP, MARKER, NO_PRODUCT

DEAD = 0
START = 1
NEVER = 1 << 20
"""The cost of a state from which no answer can be reached."""
OPEN, PRODUCT, NO_CLOSE = range(3)
"""What a state is bound to: nothing yet, a reference with a product, one without."""

_THROUGH_PRODUCT = 1 << 10
_SLOTS = ("introduction", "name", "paragraph", "conclusion")
_FORBIDDEN_WORDS = (b"closest product", b"no close product")
_BLANK = ("\n\n" + BULLET).encode()
_CLOSE = (")" + GAP).encode()
_REFERENCES = ("\n" + MARKER).encode(), ("\n" + NO_PRODUCT[:-1]).encode()
# White space other than the space itself, and control characters, are not prose.
_FORBIDDEN_CHARACTERS = frozenset(
    chr(code).encode() for code in range(0x80, 0xD800) if chr(code).isspace() or code < 0xA0
)
_FORBIDDEN_PREFIXES = frozenset(character[:size] for character in _FORBIDDEN_CHARACTERS for size in (1, 2, 3))
# After these leading bytes UTF-8 allows fewer second bytes.
_NARROW_LEADS = frozenset({b"\xe0", b"\xed", b"\xf0", b"\xf4"})


class _State(NamedTuple):
    """Where in the format a text stands.

    slot: one of the prose slots, or `blank`, `bullet`, `colon`, `reference`, `product`, `close`.
    item: recommendations begun.
    written: in a literal its bytes so far; in prose the beginning of a forbidden word that the text ends with.
    character: the bytes of an unfinished UTF-8 character.
    edge: `start` of a slot, behind a `space`, or `inside`.
    """

    slot: str
    item: int
    written: bytes = b""
    character: bytes = b""
    edge: str = ""


@dataclass(frozen=True, eq=False)
class AnswerAutomaton:
    """The automaton of s states; state 0 is dead, state 1 the start.

    `table`: shape (s, 256), int16, the state after a byte. `cost`: shape (s,), int32, fewest bytes to a whole answer,
    without those of a product's reference; `through_product`: shape (s,), bool, whether every way leads through one.
    `accepts`: shape (s,), bool, whether the text so far is a whole answer. `item`: shape (s,), int16, recommendations
    begun. `line`: shape (s,), int16, 0 outside prose, else a number of the slot. `slot`: its name.
    `branch`: shape (s,), int8, which reference the text is bound to: OPEN, PRODUCT or NO_CLOSE.
    `closes[state]` of a product's slot is the state behind its reference, else DEAD; shape (s,), int16.
    """

    table: NDArray[np.int16]
    cost: NDArray[np.int32]
    through_product: NDArray[np.bool_]
    accepts: NDArray[np.bool_]
    item: NDArray[np.int16]
    line: NDArray[np.int16]
    branch: NDArray[np.int8]
    closes: NDArray[np.int16]
    slot: tuple[str, ...]

    def walk(self, state: int, text: bytes) -> int:
        """The state after these bytes."""
        for byte in text:
            state = int(self.table[state, byte])
        return state


@lru_cache(maxsize=4)
def build_automaton(usable: frozenset[int], min_items: int = 1, max_items: int = 5) -> AnswerAutomaton:
    """The automaton of answers with so many recommendations, made of the usable bytes.

    Raises:
        ValueError: the bounds are out of order, or the format cannot be written with these bytes.
    """
    if not 1 <= min_items <= max_items:
        raise ValueError(f"an answer has 1 or more recommendations, not {min_items} to {max_items}")
    states, rows = _explore(sorted(usable), min_items, max_items)
    table = np.zeros((len(states) + 1, 256), np.int16)
    table[1:] = rows
    number = {state: position for position, state in enumerate(states, 1)}
    known = [_State("", 0), *states]
    closes = [number[_State("close", state.item)] if state.slot == "product" else DEAD for state in known]
    accepts = np.array([_accepts(state) for state in known])
    cost = _costs(table, np.array(closes), accepts)
    if cost[START] >= NEVER:
        raise ValueError("the tokenizer lacks a byte of the answer format's literals")
    table[cost[table] >= NEVER] = DEAD
    return AnswerAutomaton(
        table=table,
        cost=np.where(cost < NEVER, cost % _THROUGH_PRODUCT, NEVER).astype(np.int32),
        through_product=(cost >= _THROUGH_PRODUCT) & (cost < NEVER),
        accepts=accepts,
        item=np.array([state.item for state in known], np.int16),
        line=np.array([_line(state) for state in known], np.int16),
        branch=np.array([_branch(state) for state in known], np.int8),
        closes=np.array(closes, np.int16),
        slot=tuple(state.slot for state in known),
    )


def _explore(usable: Iterable[int], min_items: int, max_items: int) -> tuple[list[_State], list[list[int]]]:
    states = [_State("introduction", 0, edge="lead")]
    number = {states[0]: START}
    rows = []
    for state in states:  # grows while it is walked
        row = [DEAD] * 256
        follow = [(byte, _step(state, byte, min_items, max_items)) for byte in usable]
        if state.slot == "product":
            follow.append((-1, _State("close", state.item)))
        for byte, after in follow:
            if after is None:
                continue
            if after not in number:
                states.append(after)
                number[after] = len(states)
            if byte >= 0:
                row[byte] = number[after]
        rows.append(row)
    return states, rows


def _costs(table: NDArray[np.int16], closes: NDArray[np.int64], accepts: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Fewest bytes to an accepting state; a product's slot counts as more than any way around it."""
    cost = np.where(accepts, 0, NEVER)
    while True:
        step = 1 + cost[table].min(axis=1)
        step = np.where(closes != DEAD, _THROUGH_PRODUCT + cost[closes], step)
        closer = np.minimum(cost, np.minimum(step, NEVER))
        closer[DEAD] = NEVER
        if (closer == cost).all():
            return closer
        cost = closer


def _line(state: _State) -> int:
    return 1 + _SLOTS.index(state.slot) + len(_SLOTS) * state.item if state.slot in _SLOTS else 0


def _branch(state: _State) -> int:
    if state.slot not in ("reference", "product"):
        return OPEN
    with_product, without = (reference.startswith(state.written) for reference in _REFERENCES)
    return PRODUCT if state.slot == "product" or not without else OPEN if with_product else NO_CLOSE


def _accepts(state: _State) -> bool:
    # White space behind the conclusion is allowed, and trimmed: some chat templates put a space before the end.
    return state.slot == "conclusion" and state.edge in ("inside", "space") and not state.character


def _step(state: _State, byte: int, min_items: int, max_items: int) -> _State | None:
    """The state after one more byte, or None where the format does not allow it."""
    slot, item, written = state.slot, state.item, state.written + bytes([byte])
    if slot in _SLOTS:
        return _leave(state, byte) or _prose(state, byte)
    if slot == "blank":
        return _literal(state, written, _BLANK, _State("name", 1, edge="start"))
    if slot == "bullet":
        return _literal(state, written, BULLET.encode(), _State("name", item, edge="start"))
    if slot == "colon":
        return _State("paragraph", item, edge="start") if byte == ord(" ") else None
    if slot == "reference":
        return _reference(state, written)
    if slot == "close" and state.written == _CLOSE:
        return _after_item(state, byte, min_items, max_items)
    if slot == "close" and _CLOSE.startswith(written):
        return state._replace(written=written)
    return None


def _literal(state: _State, written: bytes, literal: bytes, then: _State) -> _State | None:
    if written == literal:
        return then
    return state._replace(written=written) if literal.startswith(written) else None


def _reference(state: _State, written: bytes) -> _State | None:
    with_product, without = _REFERENCES
    if written == with_product:
        return _State("product", state.item)
    if written == without:
        return _State("close", state.item)
    return state._replace(written=written) if with_product.startswith(written) or without.startswith(written) else None


def _after_item(state: _State, byte: int, min_items: int, max_items: int) -> _State | None:
    if byte == ord(" "):
        return _State("bullet", state.item + 1, b" ") if state.item < max_items else None
    return _prose(_State("conclusion", state.item, edge="start"), byte) if state.item >= min_items else None


def _leave(state: _State, byte: int) -> _State | None:
    """The state behind a prose slot, where this byte ends it."""
    if state.edge != "inside" or state.character:
        return None
    if state.slot == "introduction" and byte == ord("\n"):
        return _State("blank", 0, b"\n")
    if state.slot == "name" and byte == ord(":"):
        return _State("colon", state.item)
    if state.slot == "paragraph" and byte == ord("\n"):
        return _State("reference", state.item, b"\n")
    return None


def _prose(state: _State, byte: int) -> _State | None:
    """The state after one more byte of prose."""
    if state.slot == "name" and byte == ord(":"):
        return None  # a colon ends a name, and there is none to end yet
    if byte >= 0x80 or state.character:
        character = _utf8(state.character, byte)
        return None if character is None else state._replace(written=b"", character=character, edge="inside")
    if byte == ord(" "):
        return _space(state)
    if byte < 0x20 or byte == 0x7F:
        return None
    written = _forbidden_beginning(state.written + bytes([byte]).lower())
    return None if written in _FORBIDDEN_WORDS else state._replace(written=written, edge="inside")


def _space(state: _State) -> _State | None:
    if state.edge == "lead":
        # Tokenizers with a leading space begin an answer with it; it is trimmed from the text.
        return state._replace(edge="start")
    if state.edge != "inside":
        return None
    return state._replace(written=_forbidden_beginning(state.written + b" "), edge="space")


@lru_cache(maxsize=4096)
def _forbidden_beginning(text: bytes) -> bytes:
    """The longest end of the text that a forbidden word begins with."""
    ends = (text[at:] for at in range(len(text)))
    return next((end for end in ends if any(word.startswith(end) for word in _FORBIDDEN_WORDS)), b"")


@lru_cache(maxsize=65536)
def _utf8(character: bytes, byte: int) -> bytes | None:
    """The unfinished character after one more byte: empty when it is whole, None where it is not UTF-8 or not prose.

    Characters that go on alike share a representative, which keeps the states few.
    """
    longer = character + bytes([byte])
    if b"\xed\xa0" <= longer[:2] <= b"\xed\xbf":  # half of a surrogate pair: Python's decoder says so a byte later
        return None
    try:
        whole = codecs.getincrementaldecoder("utf-8")().decode(longer)
    except UnicodeDecodeError:
        return None
    if whole:
        return None if longer in _FORBIDDEN_CHARACTERS else b""
    if longer in _FORBIDDEN_PREFIXES or longer in _NARROW_LEADS:
        return longer
    size = 2 if longer[0] < 0xE0 else 3 if longer[0] < 0xF0 else 4
    return {2: b"\xc3", 3: b"\xe4\x80", 4: b"\xf1\x80\x80"}[size][: len(longer)]
