"""Estimates of a training's device memory, and the settings that fit. Pure functions.

Bytes of weights, gradients and optimizer state follow ZeRO (arXiv:1910.02054, section 3), those of activations are
counted for a Llama layer as arXiv:2205.05198, section 4.1, does for GPT, with an attention that keeps no scores.
Estimates only choose among valid settings; if they are wrong, the device runs out of memory.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Method = Literal["lora", "full", "qlora"]
Stage = Literal[0, 2, 3]
"""Of ZeRO; 0: no device shares anything."""

_USABLE = 0.9
"""Share of a device's memory that is planned with; the rest is the runtime's, and lost between allocations."""

_BUSY_TOKENS = 2048
"""Of a pass, at least: fewer of them keep a device's arithmetic waiting for its weights."""

_QUANTIZED_BYTES = 4.127 / 8
"""Bytes of a weight of 4 bits with doubly quantised scales (arXiv:2305.14314, section 3)."""

_EXACT_BYTES = 4
"""Of a number of 32 bits, as are the embeddings beside weights of 4 bits."""

_TRAINED_BYTES = 16
"""Of a trained weight in 32 bits: itself, its gradient and AdamW's two moments."""

_SPLIT_BYTES = 16
"""Of a weight of 16 bits that DeepSpeed trains, beside itself: its gradient, and both in 32 bits with the moments."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What of a model decides about memory: weights, and the widths of its layers."""

    parameters: int
    adapter: int
    layers: int
    hidden: int
    intermediate: int
    vocabulary: int


@dataclass(frozen=True, slots=True)
class Fit:
    """Settings that fit: micro-batch size, ZeRO stage, gradient checkpointing."""

    rows: int
    zero_stage: Stage
    checkpointing: bool


def fit(
    shape: Shape,
    method: Method,
    *,
    rows: int,
    length: int,
    number_bytes: int,
    processes: int,
    device_bytes: int,
    has_zero: bool,
    begun_stage: Stage | None = None,
    checkpointing: bool = False,
) -> Fit:
    """The fastest settings that fit; if none does, those that need the least memory.

    Args:
        shape: the model's.
        method: what is trained.
        rows: examples of a micro-batch at most.
        length: tokens of an example, padding included.
        number_bytes: of a number of the arithmetic, 2 for bfloat16.
        processes: how many train together, each on a device.
        device_bytes: memory of one device.
        has_zero: whether DeepSpeed is installed.
        begun_stage: ZeRO's stage of the checkpoint that is gone on from: none of another stage can be read.
        checkpointing: use gradient checkpointing in any case.
    """
    stages = _stages(method, processes, has_zero) if begun_stage is None else (begun_stage,)
    ways = [way for stage in stages for way in _ways(stage, rows, length) if way.checkpointing or not checkpointing]
    room = device_bytes * _USABLE
    return next((way for way in ways if needed(shape, method, way, length, number_bytes, processes) <= room), ways[-1])


def needed(shape: Shape, method: Method, way: Fit, length: int, number_bytes: int, processes: int) -> float:
    """Memory of a training on each device, in bytes."""
    return _state(shape, method, way.zero_stage, number_bytes, processes) + _activations(
        shape, method, way, way.rows * length, number_bytes
    )


def shape_of(folder: Path, lora_rank: int) -> Shape:
    """The shape of the model in a folder, from its config alone."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    head = model.get_output_embeddings()
    linear = [each for each in model.modules() if isinstance(each, torch.nn.Linear) and each is not head]
    text = config.get_text_config()
    return Shape(
        parameters=sum(each.numel() for each in model.parameters()),
        adapter=lora_rank * sum(each.in_features + each.out_features for each in linear),
        layers=text.num_hidden_layers,
        hidden=text.hidden_size,
        intermediate=_first(text, "intermediate_size", "ffn_dim", "n_inner") or 4 * text.hidden_size,
        vocabulary=text.vocab_size,
    )


def device_bytes(processes_here: int) -> int:
    """Memory of this process's device; on a CPU, its share of the machine's."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.get_device_properties(0).total_memory)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // processes_here


def _stages(method: Method, processes: int, has_zero: bool) -> tuple[Stage, ...]:
    if processes == 1 or not has_zero or method == "qlora":
        return (0,)
    return (2, 3) if method == "full" else (0, 3)


def _ways(stage: Stage, rows: int, length: int) -> Iterator[Fit]:
    """Smaller micro-batches come before gradient checkpointing, which costs a third more arithmetic.

    ZeRO stage 3 gathers all weights in every pass, so that there more passes cost more than that.
    """
    fewer = [rows]
    while fewer[-1] // 2 * length >= _BUSY_TOKENS:
        fewer.append(fewer[-1] // 2)
    for each in fewer if stage != 3 else fewer[:1]:
        yield Fit(each, stage, False)
    for each in fewer:
        yield Fit(each, stage, True)


def _state(shape: Shape, method: Method, stage: int, number_bytes: int, processes: int) -> float:
    split = processes if stage == 3 else 1
    gathered = 2 * number_bytes * shape.parameters / shape.layers if stage == 3 else 0.0
    if method == "full" and stage == 0:
        return (_TRAINED_BYTES + number_bytes) * shape.parameters  # weights in 32 bits, and as the arithmetic sees them
    frozen = number_bytes * shape.parameters / split + gathered
    if method == "full":
        return frozen + _SPLIT_BYTES * shape.parameters / processes
    if method == "qlora":
        embedded = 2 * shape.vocabulary * shape.hidden
        frozen = _EXACT_BYTES * embedded + _QUANTIZED_BYTES * max(shape.parameters - embedded, 0)
    return frozen + _TRAINED_BYTES * shape.adapter / split


def _activations(shape: Shape, method: Method, way: Fit, tokens: int, number_bytes: int) -> float:
    """Inputs of every product and norm of a layer, and the norms' own numbers in 32 bits.

    What is handed from layer to layer has the type of the embeddings: 32 bits where autocast makes it 16 for products
    alone, and on weights of 4 bits.
    """
    is_exact = method == "qlora" or (method == "full" and way.zero_stage == 0)
    handed = _EXACT_BYTES if is_exact else number_bytes
    layer = number_bytes * (8 * shape.hidden + 4 * shape.intermediate) + (2 * handed + 8) * shape.hidden
    kept = layer + shape.layers * handed * shape.hidden if way.checkpointing else shape.layers * layer
    return float(tokens * (kept + 4 * shape.hidden))


def _first(config: Any, *names: str) -> int | None:
    return next((value for name in names if (value := getattr(config, name, None)) is not None), None)
