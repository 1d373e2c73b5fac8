"""The number format that a model is computed in on this machine: one choice for generating, training and answering.

A CPU's flags do not tell which format is faster. Without instructions for bfloat16 oneDNN emulates it at a quarter of
float32's speed or less, and PyTorch's own check calls it supported all the same on any AVX-512. With AVX512_BF16 alone
some cores multiply it faster than float32 and others more slowly. On Arm and macOS the libraries behind PyTorch differ
from build to build. So `auto` times one small product in both formats, by the CPU time of one thread, which other
processes on a busy machine hardly change. Near a tie it takes float32, so that it takes the same one each time.
"""

from __future__ import annotations

import time
from functools import cache

import torch
import torch.nn.functional as F  # noqa: N812

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}

_ROWS, _INPUTS, _OUTPUTS = 64, 576, 1536
"""Rows like those of a decoding step over many sequences, or of a short prompt, and a layer of a small model."""

_REPEATS = 4
_MUST_GAIN = 1.2


def number_format(dtype: str, device: str | None = None) -> torch.dtype:
    """The torch type that a config's `dtype` means on a device: the GPU where there is one, unless `device` is named.

    `auto` is bfloat16 on a GPU (float16 on one that only emulates it), and on a CPU the faster of bfloat16 and float32.
    """
    if dtype != "auto":
        return DTYPES[dtype]
    if torch.cuda.is_available() and device != "cpu":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return torch.bfloat16 if is_bfloat16_fast() else torch.float32


@cache
def is_bfloat16_fast() -> bool:
    """Whether this CPU multiplies matrices of bfloat16 clearly faster than those of float32. Takes some 20 ms, once."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        gained: bool = _product_seconds(torch.float32) > _MUST_GAIN * _product_seconds(torch.bfloat16)
        return gained
    finally:
        torch.set_num_threads(threads)


@torch.inference_mode()  # type: ignore[untyped-decorator, unused-ignore]
def _product_seconds(dtype: torch.dtype) -> float:
    """The least CPU time of this thread for a linear layer."""
    rows, weights = torch.ones(_ROWS, _INPUTS, dtype=dtype), torch.ones(_OUTPUTS, _INPUTS, dtype=dtype)
    F.linear(rows, weights)  # the first call prepares the kernel
    seconds = []
    for _ in range(_REPEATS):
        begun = time.thread_time()
        F.linear(rows, weights)
        seconds.append(time.thread_time() - begun)
    return min(seconds)
