"""Model FLOPs of a training, and the share of the device's peak that it reached.

Model FLOPs utilisation as PaLM defines it (arXiv:2204.02311, appendix B): only what the mathematics needs is counted,
never what is computed a second time to save memory, nor padding. Stricter than there in two things, so that the share
is not flattered: a token attends to itself and those before it, half of the square, and the output layer is counted
for the tokens that are taught alone. A multiplication with addition is two operations.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_LLAMA_SHAPED = frozenset({"llama", "mistral", "qwen2", "qwen3", "smollm3"})
"""Model types whose layers have seven matrices: queries, keys, values, output; gate, up, down."""

_PEAKS: tuple[tuple[tuple[str, ...], float], ...] = (
    (("B200",), 2250e12),
    (("H200", "NVL"), 835e12),
    (("H200",), 989e12),
    (("GH200",), 989e12),
    (("H100", "NVL"), 835e12),
    (("H100", "PCIe"), 756e12),
    (("H100",), 989e12),
    (("A100",), 312e12),
    (("A800",), 312e12),
    (("H800", "PCIe"), 756e12),
    (("H800",), 989e12),
    (("L40S",), 362e12),
    (("L40",), 181e12),
    (("L4",), 121e12),
    (("A40",), 150e12),
    (("A30",), 165e12),
    (("A10G",), 70e12),
    (("A10",), 125e12),
)
"""Words of a device's name → dense operations a second in bfloat16, by the maker's data sheets; the first that fits."""


@dataclass(frozen=True, slots=True)
class TrainingFlops:
    """Floating-point operations of one forward and backward pass: for each token, each taught one, each attended pair.

    A pair is a token and one that it attends to, itself included.
    """

    token: float
    taught: float
    pair: float

    def of(self, lengths: Sequence[int] | np.ndarray[Any, Any], taught: int) -> float:
        """Operations that training on examples of these lengths once needs, `taught` of their tokens with a label."""
        tokens = np.asarray(lengths, dtype=np.float64)
        pairs = (tokens * (tokens + 1) / 2).sum()
        return float(self.token * tokens.sum() + self.taught * taught + self.pair * pairs)


def training_flops(config: Any, lora_rank: int | None) -> TrainingFlops | None:
    """What a step needs of a model with this `transformers` config; None for a model that is not made like Llama.

    Args:
        config: sizes of the model.
        lora_rank: of adapters on every matrix but the output layer, whose own weights need no gradient; None: all
            weights are trained.
    """
    if getattr(config, "model_type", None) not in _LLAMA_SHAPED:
        return None
    layers, matrices = config.num_hidden_layers, _matrices(config)
    weights = sum(rows * columns for rows, columns in matrices)
    adapters = sum((rows + columns) * lora_rank for rows, columns in matrices) if lora_rank else 0
    # Forward once, backward once for the inputs, and once more for the weights where they are trained.
    passes = 2 if lora_rank else 3
    heads = config.num_attention_heads * _head_size(config)
    return TrainingFlops(
        token=2.0 * layers * (passes * weights + 3 * adapters),
        taught=2.0 * passes * config.hidden_size * config.vocab_size,
        pair=2.0 * layers * 3 * 2 * heads,  # queries with keys, and weights with values
    )


def peak_flops(device: str) -> float | None:
    """Dense bfloat16 operations a second of a device by its name; None where they are not known, as of a CPU."""
    words = set(re.split(r"[^A-Za-z0-9]+", device))
    if "MIG" in words:  # a slice of a device
        return None
    return next((peak for named, peak in _PEAKS if words.issuperset(named)), None)


def utilisation(flops: float | None, seconds: float, device: str, devices: int) -> float | None:
    """The share of the devices' peak that was reached, from 0 to 1; None where model or device are not known."""
    peak = peak_flops(device)
    if flops is None or peak is None or seconds <= 0:
        return None
    return flops / seconds / (peak * devices)


def _matrices(config: Any) -> list[tuple[int, int]]:
    """The (rows, columns) of the matrices of one layer."""
    hidden, inner, size = config.hidden_size, config.intermediate_size, _head_size(config)
    queries, keys = config.num_attention_heads * size, config.num_key_value_heads * size
    return [(queries, hidden), (keys, hidden), (keys, hidden), (hidden, queries), *[(inner, hidden)] * 3]


def _head_size(config: Any) -> int:
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
