"""Every example of a step is computed once, by whichever process, and no process is left behind."""

from hypothesis import given
from hypothesis import strategies as st

from skutune.training.batches import micro_batches

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=40)


@given(LENGTHS, st.integers(1, 9), st.integers(1, 8), st.sampled_from([None, 60, 100]))
def test_each_example_comes_once_whatever_the_processes(lengths, processes, rows, max_tokens):
    shares = micro_batches(range(len(lengths)), lengths, processes, rows, max_tokens)
    assert sorted(index for share in shares for batch in share for index in batch) == list(range(len(lengths)))
    assert len(shares) == processes


@given(LENGTHS, st.integers(1, 9), st.integers(1, 8), st.sampled_from([None, 60, 100]))
def test_all_processes_have_the_same_number_of_passes(lengths, processes, rows, max_tokens):
    shares = micro_batches(range(len(lengths)), lengths, processes, rows, max_tokens)
    assert len({len(share) for share in shares}) == 1
    assert shares[0]


@given(LENGTHS, st.integers(1, 9), st.integers(1, 8))
def test_padded_passes_hold_no_more_examples_than_fit_and_are_no_more_than_needed(lengths, processes, rows):
    shares = micro_batches(range(len(lengths)), lengths, processes, rows)
    assert max(len(batch) for share in shares for batch in share) <= rows
    assert len(shares[0]) == -(-len(lengths) // (processes * rows))


@given(LENGTHS, st.integers(1, 9), st.integers(60, 200))
def test_packed_passes_hold_no_more_tokens_than_fit(lengths, processes, max_tokens):
    shares = micro_batches(range(len(lengths)), lengths, processes, 1, max_tokens)
    assert max(sum(lengths[index] for index in batch) for share in shares for batch in share) <= max_tokens


def test_a_process_without_an_example_has_an_empty_pass():
    assert micro_batches([7], [0] * 7 + [5], 3, 4) == [[[7]], [[]], [[]]]


def test_examples_of_like_length_are_padded_together():
    assert micro_batches(range(4), [9, 1, 8, 2], 1, 2) == [[[0, 2], [3, 1]]]


def test_packing_fills_the_rows_that_padding_would_leave_half_empty():
    lengths = [60, 30, 30, 40, 40, 20, 20]
    assert len(micro_batches(range(7), lengths, 1, 1, 60)[0]) == 4
    assert len(micro_batches(range(7), lengths, 1, 1)[0]) == 7
