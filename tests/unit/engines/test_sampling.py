"""The next token is drawn as temperature and top_p say."""

from __future__ import annotations

import pytest
import torch

from skutune.engines.transformers.sampling import sample
from skutune.errors import DeviceError

SHARES = torch.tensor([[0.1, 0.6, 0.0, 0.3]])
UNIFORMS = [number / 100 for number in range(100)]


def drawn(temperature: float, top_p: float) -> list[int]:
    logits = SHARES.log()
    return [sample(logits, [temperature], [top_p], [uniform])[0] for uniform in UNIFORMS]


def test_temperature_zero_is_greedy() -> None:
    assert set(drawn(0, 1.0)) == {1}


def test_tokens_come_in_their_shares() -> None:
    tokens = drawn(1.0, 1.0)
    assert [tokens.count(token) for token in range(4)] == pytest.approx([10, 60, 0, 30], abs=1)


def test_top_p_leaves_the_tail_out_and_keeps_the_first_beyond_the_bound() -> None:
    assert set(drawn(1.0, 0.5)) == {1}
    assert set(drawn(1.0, 0.7)) == {1, 3}


def test_heat_levels_the_shares() -> None:
    assert drawn(2.0, 1.0).count(1) < drawn(1.0, 1.0).count(1) < drawn(0.5, 1.0).count(1)


def test_each_row_has_its_own_settings() -> None:
    logits = SHARES.log().repeat(3, 1)
    assert sample(logits, [0.0, 1.0, 1.0], [1.0, 1.0, 1.0], [0.99, 0.7, 0.999]) == [1, 3, 0]


def test_a_vocabulary_larger_than_the_candidates_gives_a_likely_token() -> None:
    logits = torch.randn(5, 5000, dtype=torch.bfloat16, generator=torch.Generator().manual_seed(1))
    tokens = sample(logits, [1.0] * 5, [0.95] * 5, [0.999] * 5)
    ranks = [(row > row[token]).sum().item() for row, token in zip(logits, tokens, strict=True)]
    assert max(ranks) < 128


def test_logits_that_are_not_numbers_are_a_fault_of_the_device() -> None:
    with pytest.raises(DeviceError):
        sample(torch.full((1, 4), float("nan")), [1.0], [1.0], [0.5])
