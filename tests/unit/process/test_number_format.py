"""A model is computed in the format that its device is faster at, and the choice is no part of what a run has made."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from skutune.process import number_format as module
from skutune.process.number_format import is_bfloat16_fast, number_format

FLAGS = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""


@pytest.fixture
def cpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """A machine without a GPU, which has not been measured yet."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    is_bfloat16_fast.cache_clear()
    yield monkeypatch
    is_bfloat16_fast.cache_clear()


def measured(float32: float, bfloat16: float) -> object:
    return lambda dtype: {torch.float32: float32, torch.bfloat16: bfloat16}[dtype]


@pytest.mark.parametrize(
    ("processor", "float32", "bfloat16", "expected"),
    [
        ("with AMX", 1.2, 0.35, torch.bfloat16),
        ("with AVX-512 and no bfloat16", 1.1, 4.4, torch.float32),
        ("with AVX512_BF16 that is slower than float32", 1.0, 1.6, torch.float32),
        ("with AVX2", 1.0, 9.0, torch.float32),
        ("at a tie", 1.0, 0.95, torch.float32),
    ],
)
def test_auto_on_a_cpu_is_what_it_is_faster_at(
    cpu: pytest.MonkeyPatch, processor: str, float32: float, bfloat16: float, expected: torch.dtype
) -> None:
    cpu.setattr(module, "_product_seconds", measured(float32, bfloat16))
    assert number_format("auto") is expected, processor


def test_a_format_that_is_named_is_taken_without_measuring(cpu: pytest.MonkeyPatch) -> None:
    cpu.delattr(module, "_product_seconds")
    assert number_format("float16") is torch.float16


@pytest.mark.parametrize(("has_bfloat16", "expected"), [(True, torch.bfloat16), (False, torch.float16)])
def test_auto_on_a_gpu_is_the_16_bits_that_it_has(
    cpu: pytest.MonkeyPatch, has_bfloat16: bool, expected: torch.dtype
) -> None:
    cpu.setattr(torch.cuda, "is_available", lambda: True)
    cpu.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_bfloat16)
    assert number_format("auto") is expected


def test_a_model_put_on_the_cpu_of_a_machine_with_a_gpu_gets_the_format_of_the_cpu(cpu: pytest.MonkeyPatch) -> None:
    cpu.setattr(torch.cuda, "is_available", lambda: True)
    cpu.setattr(module, "_product_seconds", measured(1.0, 4.0))
    assert number_format("auto", "cpu") is torch.float32


def test_measuring_leaves_the_number_of_threads_alone(cpu: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    number_format("auto")
    assert torch.get_num_threads() == before


@pytest.mark.skipif("avx512bw" not in FLAGS, reason="oneDNN can be told to forget bfloat16 on CPUs with AVX-512 only")
@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ("AVX512_CORE", "torch.float32"),
        pytest.param(
            "ALL",
            "torch.bfloat16",
            marks=pytest.mark.skipif("amx_bf16" not in FLAGS, reason="this CPU has no AMX"),
        ),
    ],
)
def test_this_processor_is_measured_with_and_without_its_units_for_bfloat16(known: str, expected: str) -> None:
    program = "from skutune.process.number_format import number_format; print(number_format('auto', 'cpu'))"
    told = {**os.environ, "ONEDNN_MAX_CPU_ISA": known}
    done = subprocess.run([sys.executable, "-c", program], env=told, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected
