"""Model FLOPs of a training, and model FLOPs utilisation (MFU).

MFU as defined for PaLM (arXiv:2204.02311, appendix B): recomputation by gradient checkpointing and padding are not
counted. It is stricter in two respects: causal attention counts half of the square, and the output layer counts only
tokens with a label. A multiply-add is two operations.
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
"""Dense bfloat16 FLOP/s by the words of a device's name, from the data sheets; the first match counts."""


@dataclass(frozen=True, slots=True)
class TrainingFlops:
    """FLOPs of a forward and backward pass per token, per token with a label, and per attended pair of tokens."""

    token: float
    taught: float
    pair: float

    def of(self, lengths: Sequence[int] | np.ndarray[Any, Any], taught: int) -> float:
        """FLOPs of one pass over examples of these lengths, with `taught` labelled tokens."""
        tokens = np.asarray(lengths, dtype=np.float64)
        pairs = (tokens * (tokens + 1) / 2).sum()
        return float(self.token * tokens.sum() + self.taught * taught + self.pair * pairs)


def training_flops(config: Any, lora_rank: int | None) -> TrainingFlops | None:
    """The FLOPs of a model with this `transformers` config; None for an architecture other than Llama's.

    Args:
        config: sizes of the model.
        lora_rank: rank of adapters on all matrices except the output layer; None for full fine-tuning.
    """
    if getattr(config, "model_type", None) not in _LLAMA_SHAPED:
        return None
    layers, matrices = config.num_hidden_layers, _matrices(config)
    weights = sum(rows * columns for rows, columns in matrices)
    adapters = sum((rows + columns) * lora_rank for rows, columns in matrices) if lora_rank else 0
    # Forward, gradient of the inputs, and for trained weights their gradient.
    passes = 2 if lora_rank else 3
    heads = config.num_attention_heads * _head_size(config)
    return TrainingFlops(
        token=2.0 * layers * (passes * weights + 3 * adapters),
        taught=2.0 * passes * config.hidden_size * config.vocab_size,
        pair=2.0 * layers * 3 * 2 * heads,  # queries with keys, and weights with values
    )


def peak_flops(device: str) -> float | None:
    """Dense bfloat16 FLOP/s of a device by name; None if unknown, as for CPUs."""
    words = set(re.split(r"[^A-Za-z0-9]+", device))
    if "MIG" in words:  # a slice of a device
        return None
    return next((peak for named, peak in _PEAKS if words.issuperset(named)), None)


def utilisation(flops: float | None, seconds: float, device: str, devices: int) -> float | None:
    """MFU in [0, 1]; None if the peak of the device or the FLOPs of the model are unknown."""
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
