"""The automaton and the parser accept the same answers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skutune import answer_format
from skutune.decoding.automaton import DEAD, START, UNREACHABLE, build_automaton

BYTES = frozenset(range(256))
COMPLETE = "Hi é.\n\n * Beans: Good, no?\n(no close product)\n\n\nBye."


def test_only_a_complete_answer_is_accepted():
    automaton = build_automaton(BYTES)
    states = [automaton.walk(START, COMPLETE.encode()[:size]) for size in range(len(COMPLETE.encode()) + 1)]
    assert DEAD not in states
    assert automaton.accepts[states[-1]]
    assert not any(automaton.accepts[state] for state in states[: -len("Bye.")])


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
def test_text_that_does_not_parse_leads_to_the_dead_state(before, after):
    assert build_automaton(BYTES).walk(START, COMPLETE.replace(before, after, 1).encode()) == DEAD


@pytest.mark.parametrize("second", range(0x80, 0xC0))
@pytest.mark.parametrize("lead", [0xC2, 0xE0, 0xE1, 0xED, 0xEF, 0xF0, 0xF1, 0xF4])
def test_prefixes_of_invalid_utf8_lead_to_the_dead_state(lead: int, second: int) -> None:
    written = bytes([lead, second])
    endings = ([0x80], [0xA5], [0xBF]) if lead < 0xF0 else ([0x80, 0x80], [0xA5, 0xA5], [0xBF, 0xBF])
    candidates = [written] if lead < 0xE0 else [written + bytes(ending) for ending in endings]
    exists = any(_is_utf8(character) for character in candidates)
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
def test_random_walks_to_an_accepting_state_parse(data):
    automaton = build_automaton(BYTES - {0x80})
    state, text = START, b""
    for _ in range(data.draw(st.integers(0, 80))):
        next_bytes = [byte for byte in range(256) if automaton.table[state, byte] != DEAD]
        if not next_bytes:
            break
        byte = data.draw(st.sampled_from(next_bytes))
        state, text = int(automaton.table[state, byte]), text + bytes([byte])
    while not automaton.accepts[state]:
        assert automaton.cost[state] < UNREACHABLE
        if automaton.after_product[state] != DEAD:
            state, text = int(automaton.after_product[state]), text + b" Beans: id 1"
            continue
        costs = automaton.cost[automaton.table[state]] + 10_000 * automaton.through_product[automaton.table[state]]
        state, text = int(automaton.table[state, costs.argmin()]), text + bytes([int(costs.argmin())])
    answer_format.parse(text.decode().strip())


def test_bounds_out_of_order_raise():
    with pytest.raises(ValueError, match="not 3 to 2"):
        build_automaton(BYTES, 3, 2)
