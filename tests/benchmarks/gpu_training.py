"""Fine-tuning on one device: tokens a second and the share of its peak, by skutune and by TRL with its defaults."""

from __future__ import annotations

import gc
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from skutune.config.schema import FinetuneConfig
from skutune.process.accelerators import is_out_of_memory
from skutune.process.number_format import number_format
from skutune.training.examples import Examples, load_examples
from skutune.training.flops import training_flops, utilisation
from skutune.training.metrics import FinetuneMetrics
from skutune.training.models import device, device_name
from skutune.training.sft import MemoryExhaustedError, finetune
from skutune.training.tokens import load_tokenizer
from tests.benchmarks.gpu_sizes import Sizes
from tests.benchmarks.rows import Row
from tests.byte_model import byte_tokenizer

MODEL, DATA = "model", "train.jsonl"
SUITE = "SFT on one device"


def prepare(folder: Path, sizes: Sizes) -> list[Row]:
    """The model with random weights, in 16 bits, and the examples."""
    config = LlamaConfig(
        hidden_size=sizes.hidden, intermediate_size=sizes.inner, num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads, vocab_size=sizes.vocabulary, max_position_embeddings=4 * sizes.length,
        bos_token_id=None, eos_token_id=257,
    )  # fmt: skip
    torch.set_default_dtype(torch.bfloat16)
    with device():
        model = LlamaForCausalLM(config)
    torch.set_default_dtype(torch.float32)
    model.save_pretrained(folder / MODEL)
    byte_tokenizer().save_pretrained(folder / MODEL)
    lines = [json.dumps({"messages": messages}) for messages in _chats(sizes)]
    (folder / DATA).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return []


def lora(folder: Path, sizes: Sizes) -> list[Row]:
    """An adapter, by skutune."""
    return _by_skutune(folder, sizes, "lora")


def full(folder: Path, sizes: Sizes) -> list[Row]:
    """Whole weights, by skutune."""
    return _by_skutune(folder, sizes, "full")


def lora_defaults(folder: Path, sizes: Sizes) -> list[Row]:
    """An adapter of the same rank on the same layers, by TRL's defaults."""
    from peft import LoraConfig

    return _by_defaults(folder, sizes, "lora", peft_config=LoraConfig(r=sizes.rank, target_modules="all-linear"))


def full_defaults(folder: Path, sizes: Sizes) -> list[Row]:
    """Whole weights, by TRL's defaults."""
    return _by_defaults(folder, sizes, "full")


def ratios(rows: Sequence[Row]) -> Iterator[Row]:
    """skutune's tokens a second over those of TRL's defaults."""
    speeds = {(row.what, row.column): row.value for row in rows if row.unit == "tokens/s" and row.suite == SUITE}
    for method in ("lora", "full"):
        ours, theirs = speeds.get((method, "skutune")), speeds.get((method, "TRL defaults"))
        if ours and theirs:
            yield Row(SUITE, f"{method}: skutune ÷ TRL defaults", ours / theirs, "×", "> 1")


def _by_skutune(folder: Path, sizes: Sizes, method: str) -> list[Row]:
    config = FinetuneConfig(
        method=method, lora_rank=sizes.rank, batch_size=sizes.batch, micro_batch_size=sizes.micro_batch,
        max_length=max(64, sizes.length), save_steps=10**6,
    )  # fmt: skip
    try:
        figures = _lowered_until_it_fits(folder, config)
    except MemoryExhaustedError:
        return _did_not_fit(method, "skutune")
    print(f"{method}: {figures.plan}", flush=True)
    return _rows(method, "skutune", figures.tokens_per_second, figures.utilisation)


def _lowered_until_it_fits(folder: Path, config: FinetuneConfig, checkpointing: bool = False) -> FinetuneMetrics:
    """As the stage does from start to start: half the micro-batch, and activations computed twice in the end."""
    try:
        return finetune(
            folder / MODEL, folder / DATA, None, config, folder / config.method, checkpointing=checkpointing,
            base_name="random", dtype="auto", resume=None, on_step=lambda point: None,
        )  # fmt: skip
    except MemoryExhaustedError as error:
        if error.examples == 1 and error.checkpointing:
            raise
        fewer = config.model_copy(update={"micro_batch_size": max(1, error.examples // 2)})
        checkpointing = error.checkpointing or error.examples == 1
    # Here the error is gone, and with its frames the model that they held.
    gc.collect()
    torch.cuda.empty_cache()
    return _lowered_until_it_fits(folder, fewer, checkpointing)


def _by_defaults(folder: Path, sizes: Sizes, method: str, **more: Any) -> list[Row]:
    """One epoch; only what the work itself fixes is set: examples a step, length, and where nothing is written."""
    from datasets import load_dataset
    from trl import SFTConfig, SFTTrainer

    arguments = SFTConfig(
        output_dir=str(folder / "defaults"), num_train_epochs=1, max_length=max(64, sizes.length), save_strategy="no",
        gradient_accumulation_steps=max(1, sizes.batch // 8), report_to="none",
        disable_tqdm=True, use_cpu=device().type == "cpu", bf16=None if device().type == "cuda" else False,
    )  # fmt: skip
    data = load_dataset("json", data_files=str(folder / DATA), split="train", cache_dir=str(folder / "cache"))
    try:
        trainer = SFTTrainer(model=str(folder / MODEL), args=arguments, train_dataset=data, **more)
        seconds = trainer.train().metrics["train_runtime"]
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return _did_not_fit(method, "TRL defaults")
    examples = load_examples(folder / DATA, load_tokenizer(folder / MODEL), max(64, sizes.length), folder / "encoded")
    done = _flops(trainer, examples, sizes.rank if method == "lora" else None)
    share = utilisation(done, seconds, device_name(), 1) if number_format("auto").itemsize == 2 else None
    return _rows(method, "TRL defaults", examples.tokens / seconds, share)


def _flops(trainer: Any, examples: Examples, rank: int | None) -> float | None:
    counted = training_flops(trainer.model.config, rank)
    return counted.of(examples.lengths, examples.taught) if counted else None


def _rows(method: str, column: str, speed: float, share: float | None) -> list[Row]:
    rows = [Row(SUITE, method, speed, "tokens/s", column=column)]
    if share is not None:
        target = "≥ 50 %" if (method, column) == ("full", "skutune") else ""
        rows.append(Row(SUITE, f"{method}, {column}: share of the peak", 100 * share, "%", target))
    return rows


def _did_not_fit(method: str, column: str) -> list[Row]:
    return [Row(SUITE, f"{method}, {column}: does not fit into this device's memory", 0.0, "tokens/s")]


def _chats(sizes: Sizes) -> Iterator[list[dict[str, str]]]:
    """Chats of a third of the length to all of it, a fifth of each the question."""
    draw, overhead = random.Random(0), len("<|start|>user\n\n\n<|start|>assistant\n\n")
    for _ in range(sizes.examples):
        length = draw.randint(sizes.length // 3, sizes.length) - overhead
        yield [
            {"role": "user", "content": _text(draw, max(4, length // 5))},
            {"role": "assistant", "content": _text(draw, max(4, length - length // 5))},
        ]


def _text(draw: random.Random, length: int) -> str:
    return "".join(draw.choices("abcdefghijklmnopqrstuvwxyz ", k=length)).strip() or "a"
