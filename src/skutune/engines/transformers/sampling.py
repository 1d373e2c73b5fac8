"""From logits to the next token: mask, temperature, top-k, top-p, one uniform number a row."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from skutune.errors import DeviceError

CANDIDATES = 128
"""Top-k before top-p, as transformers orders them: sorting a vocabulary of 49,152 costs 20 times as much."""


def sample(
    logits: torch.Tensor, temperatures: Sequence[float], top_ps: Sequence[float], uniforms: Sequence[float]
) -> list[int]:
    """One token a row. `logits` is (rows, vocabulary), -inf where a token is forbidden; temperature 0 is greedy.

    Raises:
        DeviceError: the logits hold NaN.
    """
    values, tokens = logits.topk(min(CANDIDATES, logits.shape[-1]), dim=-1)
    values = values.float().cpu()
    if bool(values.isnan().any()):
        raise DeviceError("the model's logits are not numbers; the device or the weights are faulty")
    heat = torch.tensor(temperatures)[:, None].clamp(min=1e-4)
    shares = torch.softmax(values / heat, dim=-1)
    totals = shares.cumsum(dim=-1)
    # The candidates in front of which less than top_p lies: at least the first.
    kept = torch.where(totals - shares < torch.tensor(top_ps)[:, None], shares, 0.0).cumsum(dim=-1)
    aims = torch.tensor(uniforms)[:, None] * kept[:, -1:]
    picks = torch.searchsorted(kept, aims, right=True).clamp(max=values.shape[-1] - 1)
    chosen: list[int] = tokens.cpu().gather(1, picks)[:, 0].tolist()
    return chosen
