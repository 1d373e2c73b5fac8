"""Sampling with temperature, top-k and top-p from one uniform random number per row."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from skutune.errors import DeviceError

CANDIDATES = 128
"""Top-k, applied before top-p as in transformers; sorting a vocabulary of 49,152 costs 20 times as much."""


def sample(
    logits: torch.Tensor, temperatures: Sequence[float], top_ps: Sequence[float], uniforms: Sequence[float]
) -> list[int]:
    """Sample one token per row from logits (rows, vocabulary), -inf for masked tokens; temperature 0 is greedy.

    Raises:
        DeviceError: the logits contain NaN.
    """
    values, tokens = logits.topk(min(CANDIDATES, logits.shape[-1]), dim=-1)
    values = values.float().cpu()
    if bool(values.isnan().any()):
        raise DeviceError("NaN logits; the device or the weights are faulty")
    temperature = torch.tensor(temperatures)[:, None].clamp(min=1e-4)
    probabilities = torch.softmax(values / temperature, dim=-1)
    cumulative = probabilities.cumsum(dim=-1)
    # The candidates whose predecessors have a total below top_p; at least the first.
    in_top_p = cumulative - probabilities < torch.tensor(top_ps)[:, None]
    kept = torch.where(in_top_p, probabilities, 0.0).cumsum(dim=-1)
    targets = torch.tensor(uniforms)[:, None] * kept[:, -1:]
    positions = torch.searchsorted(kept, targets, right=True).clamp(max=values.shape[-1] - 1)
    sampled: list[int] = tokens.cpu().gather(1, positions)[:, 0].tolist()
    return sampled
