"""Tokens are sampled with temperature and top-p."""

from __future__ import annotations

import pytest
import torch

from skutune.engines.transformers.sampling import sample
from skutune.errors import DeviceError

PROBABILITIES = torch.tensor([[0.1, 0.6, 0.0, 0.3]])
UNIFORMS = [number / 100 for number in range(100)]


def sampled(temperature: float, top_p: float) -> list[int]:
    logits = PROBABILITIES.log()
    return [sample(logits, [temperature], [top_p], [uniform])[0] for uniform in UNIFORMS]


def test_temperature_zero_is_greedy() -> None:
    assert set(sampled(0, 1.0)) == {1}


def test_tokens_follow_their_probabilities() -> None:
    tokens = sampled(1.0, 1.0)
    assert [tokens.count(token) for token in range(4)] == pytest.approx([10, 60, 0, 30], abs=1)


def test_top_p_excludes_the_tail_after_the_token_that_reaches_the_bound() -> None:
    assert set(sampled(1.0, 0.5)) == {1}
    assert set(sampled(1.0, 0.7)) == {1, 3}


def test_a_higher_temperature_flattens_the_distribution() -> None:
    assert sampled(2.0, 1.0).count(1) < sampled(1.0, 1.0).count(1) < sampled(0.5, 1.0).count(1)


def test_each_row_has_its_own_parameters() -> None:
    logits = PROBABILITIES.log().repeat(3, 1)
    assert sample(logits, [0.0, 1.0, 1.0], [1.0, 1.0, 1.0], [0.99, 0.7, 0.999]) == [1, 3, 0]


def test_only_top_k_candidates_of_a_large_vocabulary_are_sampled() -> None:
    logits = torch.randn(5, 5000, dtype=torch.bfloat16, generator=torch.Generator().manual_seed(1))
    tokens = sample(logits, [1.0] * 5, [0.95] * 5, [0.999] * 5)
    ranks = [(row > row[token]).sum().item() for row, token in zip(logits, tokens, strict=True)]
    assert max(ranks) < 128


def test_nan_logits_raise_a_device_error() -> None:
    with pytest.raises(DeviceError):
        sample(torch.full((1, 4), float("nan")), [1.0], [1.0], [0.5])
