"""The automaton and the parser agree on what an answer is."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skutune import answer_format
from skutune.decoding.automaton import DEAD, NEVER, START, build_automaton

BYTES = frozenset(range(256))
WHOLE = "Hi é.\n\n * Beans: Good, no?\n(no close product)\n\n\nBye."


def test_an_answer_is_accepted_only_when_it_is_whole():
    template = build_automaton(BYTES)
    states = [template.walk(START, WHOLE.encode()[:size]) for size in range(len(WHOLE.encode()) + 1)]
    assert DEAD not in states
    assert template.accepts[states[-1]]
    assert not any(template.accepts[state] for state in states[: -len("Bye.")])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Hi é.", "Hi.\n"),
        ("Hi é.", "See the Closest Product list."),
        ("Hi é.", "no NO close product"),
        ("Hi é.", "Hi\u00a0there"),
        ("Hi é.", "Hi  there"),
        ("Beans", ":"),
        ("Beans", "Beans "),
        ("Beans", " Beans"),
        ("Good, no?", "\u3000Good"),
        ("(no close product)", "(no close product) "),
        ("\n\n\nBye", "\n\nBye"),
    ],
)
def test_what_the_parser_would_refuse_or_misread_cannot_be_written(before, after):
    assert build_automaton(BYTES).walk(START, WHOLE.replace(before, after, 1).encode()) == DEAD


@pytest.mark.parametrize("second", range(0x80, 0xC0))
@pytest.mark.parametrize("lead", [0xC2, 0xE0, 0xE1, 0xED, 0xEF, 0xF0, 0xF1, 0xF4])
def test_no_beginning_of_a_character_is_let_in_that_no_character_has(lead: int, second: int) -> None:
    written = bytes([lead, second])
    endings = ([0x80], [0xA5], [0xBF]) if lead < 0xF0 else ([0x80, 0x80], [0xA5, 0xA5], [0xBF, 0xBF])
    whole = [written] if lead < 0xE0 else [written + bytes(ending) for ending in endings]
    exists = any(_is_utf8(character) for character in whole)
    state = build_automaton(BYTES).walk(START, b"Hi" + written)
    if not exists:
        assert state == DEAD


def _is_utf8(character: bytes) -> bool:
    try:
        return bool(character.decode())
    except UnicodeDecodeError:
        return False


@pytest.mark.parametrize(("items", "fits"), [(1, False), (2, True), (3, True), (4, False)])
def test_the_number_of_recommendations_is_bounded(items, fits):
    block = " * B: G\n(no close product)\n\n\n"
    state = build_automaton(BYTES, 2, 3).walk(START, ("I\n\n" + items * block + "C").encode())
    assert (state != DEAD) == fits


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_every_random_walk_to_an_accepting_state_parses(data):
    template = build_automaton(BYTES - {0x80})
    state, text = START, b""
    for _ in range(data.draw(st.integers(0, 80))):
        follow = [byte for byte in range(256) if template.table[state, byte] != DEAD]
        if not follow:
            break
        byte = data.draw(st.sampled_from(follow))
        state, text = int(template.table[state, byte]), text + bytes([byte])
    while not template.accepts[state]:
        assert template.cost[state] < NEVER
        if template.closes[state] != DEAD:
            state, text = int(template.closes[state]), text + b" Beans: id 1"
            continue
        costs = template.cost[template.table[state]] + 10_000 * template.through_product[template.table[state]]
        state, text = int(template.table[state, costs.argmin()]), text + bytes([int(costs.argmin())])
    answer_format.parse(text.decode().strip())


def test_bounds_out_of_order_are_refused():
    with pytest.raises(ValueError, match="not 3 to 2"):
        build_automaton(BYTES, 3, 2)
