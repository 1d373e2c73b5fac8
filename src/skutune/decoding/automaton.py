"""The answer format as an automaton over bytes.

`answer_format.py` defines the format; here it is a transition table over states and bytes. Literals are chains of
states. Prose is unconstrained except for its rules (UTF-8; single spaces inside, none at the edges; no line break; no
reserved phrase). The slot of a product is a state without byte transitions, where the trie takes over. The
recommendations are unrolled, so a state determines how many there are, and whether another one may or must follow.

The table is built by exploring `_step`, which follows the structure of the format. `cost` is the minimum number of
bytes from a state to a complete answer; as only bytes that are single tokens count, an answer can always be completed
within that many tokens.
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
UNREACHABLE = 1 << 20
"""The cost of a state from which no complete answer can be reached."""
OPEN, PRODUCT, NO_CLOSE = range(3)
"""The branch of a state: undecided, a reference with a product, a reference without one."""

_PRODUCT_COST = 1 << 10
_SLOTS = ("introduction", "name", "paragraph", "conclusion")
_RESERVED_PHRASES = (b"closest product", b"no close product")
_BLANK = ("\n\n" + BULLET).encode()
_CLOSE = (")" + GAP).encode()
_REFERENCES = ("\n" + MARKER).encode(), ("\n" + NO_PRODUCT[:-1]).encode()
# Control characters, and white space other than the ASCII space, are not allowed in prose.
_FORBIDDEN_CHARACTERS = frozenset(
    chr(code).encode() for code in range(0x80, 0xD800) if chr(code).isspace() or code < 0xA0
)
_FORBIDDEN_PREFIXES = frozenset(character[:size] for character in _FORBIDDEN_CHARACTERS for size in (1, 2, 3))
# Leading bytes after which UTF-8 restricts the second byte.
_NARROW_LEADS = frozenset({b"\xe0", b"\xed", b"\xf0", b"\xf4"})


class _State(NamedTuple):
    """A position in the format.

    slot: a prose slot, or `blank`, `bullet`, `colon`, `reference`, `product`, `close`.
    item: the number of recommendations begun.
    written: in a literal, its bytes so far; in prose, the longest suffix that is a prefix of a reserved phrase.
    character: the bytes of an incomplete UTF-8 character.
    edge: `lead` or `start` of a slot, after a `space`, or `inside`.
    """

    slot: str
    item: int
    written: bytes = b""
    character: bytes = b""
    edge: str = ""


@dataclass(frozen=True, eq=False)
class AnswerAutomaton:
    """An automaton of s states; state 0 is the dead state, state 1 the start state.

    Attributes:
        table: the state after each byte, shape (s, 256), int16.
        cost: minimum number of bytes to a complete answer, excluding those of product references, shape (s,), int32.
        through_product: whether every path to a complete answer contains a product reference, shape (s,), bool.
        accepts: whether the text so far is a complete answer, shape (s,), bool.
        item: the number of recommendations begun, shape (s,), int16.
        line: the number of the line of prose, 0 outside prose, shape (s,), int16.
        branch: OPEN, PRODUCT or NO_CLOSE, shape (s,), int8.
        after_product: for a product slot the state after its reference, else DEAD, shape (s,), int16.
        slot: the name of each state's slot.
    """

    table: NDArray[np.int16]
    cost: NDArray[np.int32]
    through_product: NDArray[np.bool_]
    accepts: NDArray[np.bool_]
    item: NDArray[np.int16]
    line: NDArray[np.int16]
    branch: NDArray[np.int8]
    after_product: NDArray[np.int16]
    slot: tuple[str, ...]

    def walk(self, state: int, text: bytes) -> int:
        """The state after these bytes."""
        for byte in text:
            state = int(self.table[state, byte])
        return state


@lru_cache(maxsize=4)
def build_automaton(alphabet: frozenset[int], min_items: int = 1, max_items: int = 5) -> AnswerAutomaton:
    """Build the automaton of answers with `min_items` to `max_items` recommendations over an alphabet of bytes.

    Raises:
        ValueError: the bounds are out of order, or the alphabet lacks a byte of the format.
    """
    if not 1 <= min_items <= max_items:
        raise ValueError(
            f"the number of recommendations must be a range from at least 1, not {min_items} to {max_items}"
        )
    states, rows = _explore(sorted(alphabet), min_items, max_items)
    table = np.zeros((len(states) + 1, 256), np.int16)
    table[1:] = rows
    index = {state: position for position, state in enumerate(states, 1)}
    all_states = [_State("", 0), *states]
    after_product = [index[_State("close", state.item)] if state.slot == "product" else DEAD for state in all_states]
    accepts = np.array([_accepts(state) for state in all_states])
    cost = _compute_costs(table, np.array(after_product), accepts)
    if cost[START] >= UNREACHABLE:
        raise ValueError("the tokenizer lacks a byte of the answer format's literals")
    table[cost[table] >= UNREACHABLE] = DEAD
    return AnswerAutomaton(
        table=table,
        cost=np.where(cost < UNREACHABLE, cost % _PRODUCT_COST, UNREACHABLE).astype(np.int32),
        through_product=(cost >= _PRODUCT_COST) & (cost < UNREACHABLE),
        accepts=accepts,
        item=np.array([state.item for state in all_states], np.int16),
        line=np.array([_line_number(state) for state in all_states], np.int16),
        branch=np.array([_branch(state) for state in all_states], np.int8),
        after_product=np.array(after_product, np.int16),
        slot=tuple(state.slot for state in all_states),
    )


def _explore(alphabet: Iterable[int], min_items: int, max_items: int) -> tuple[list[_State], list[list[int]]]:
    states = [_State("introduction", 0, edge="lead")]
    index = {states[0]: START}
    rows = []
    for state in states:  # grows during iteration
        row = [DEAD] * 256
        successors = [(byte, _step(state, byte, min_items, max_items)) for byte in alphabet]
        if state.slot == "product":
            successors.append((-1, _State("close", state.item)))
        for byte, next_state in successors:
            if next_state is None:
                continue
            if next_state not in index:
                states.append(next_state)
                index[next_state] = len(states)
            if byte >= 0:
                row[byte] = index[next_state]
        rows.append(row)
    return states, rows


def _compute_costs(
    table: NDArray[np.int16], after_product: NDArray[np.int64], accepts: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Minimum number of bytes to an accepting state; a product slot costs more than any path without one."""
    cost = np.where(accepts, 0, UNREACHABLE)
    while True:
        step = 1 + cost[table].min(axis=1)
        step = np.where(after_product != DEAD, _PRODUCT_COST + cost[after_product], step)
        new_cost = np.minimum(cost, np.minimum(step, UNREACHABLE))
        new_cost[DEAD] = UNREACHABLE
        if (new_cost == cost).all():
            return new_cost
        cost = new_cost


def _line_number(state: _State) -> int:
    return 1 + _SLOTS.index(state.slot) + len(_SLOTS) * state.item if state.slot in _SLOTS else 0


def _branch(state: _State) -> int:
    if state.slot not in ("reference", "product"):
        return OPEN
    with_product, without = (reference.startswith(state.written) for reference in _REFERENCES)
    return PRODUCT if state.slot == "product" or not without else OPEN if with_product else NO_CLOSE


def _accepts(state: _State) -> bool:
    # Trailing white space is allowed, and trimmed: some chat templates put a space before the end token.
    return state.slot == "conclusion" and state.edge in ("inside", "space") and not state.character


def _step(state: _State, byte: int, min_items: int, max_items: int) -> _State | None:
    """The state after one more byte; None if the format does not allow it."""
    slot, item, written = state.slot, state.item, state.written + bytes([byte])
    if slot in _SLOTS:
        return _end_slot(state, byte) or _continue_prose(state, byte)
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
    return _continue_prose(_State("conclusion", state.item, edge="start"), byte) if state.item >= min_items else None


def _end_slot(state: _State, byte: int) -> _State | None:
    """The state after a prose slot if this byte ends it, else None."""
    if state.edge != "inside" or state.character:
        return None
    if state.slot == "introduction" and byte == ord("\n"):
        return _State("blank", 0, b"\n")
    if state.slot == "name" and byte == ord(":"):
        return _State("colon", state.item)
    if state.slot == "paragraph" and byte == ord("\n"):
        return _State("reference", state.item, b"\n")
    return None


def _continue_prose(state: _State, byte: int) -> _State | None:
    """The state after one more byte of prose, or None."""
    if state.slot == "name" and byte == ord(":"):
        return None  # a colon ends a name, which must not be empty
    if byte >= 0x80 or state.character:
        character = _continue_character(state.character, byte)
        return None if character is None else state._replace(written=b"", character=character, edge="inside")
    if byte == ord(" "):
        return _space(state)
    if byte < 0x20 or byte == 0x7F:
        return None
    written = _reserved_suffix(state.written + bytes([byte]).lower())
    return None if written in _RESERVED_PHRASES else state._replace(written=written, edge="inside")


def _space(state: _State) -> _State | None:
    if state.edge == "lead":
        # Some tokenizers begin a text with a space, which is trimmed.
        return state._replace(edge="start")
    if state.edge != "inside":
        return None
    return state._replace(written=_reserved_suffix(state.written + b" "), edge="space")


@lru_cache(maxsize=4096)
def _reserved_suffix(text: bytes) -> bytes:
    """The longest suffix of the text that is a prefix of a reserved phrase."""
    suffixes = (text[start:] for start in range(len(text)))
    return next((suffix for suffix in suffixes if any(phrase.startswith(suffix) for phrase in _RESERVED_PHRASES)), b"")


@lru_cache(maxsize=65536)
def _continue_character(character: bytes, byte: int) -> bytes | None:
    """The incomplete character after one more byte: empty once complete, None if it is not UTF-8 or not allowed.

    Incomplete characters with the same continuations share a representative, which keeps the number of states small.
    """
    longer = character + bytes([byte])
    if b"\xed\xa0" <= longer[:2] <= b"\xed\xbf":  # a surrogate, which Python's decoder detects one byte later
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
