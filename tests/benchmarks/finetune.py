"""Fine-tuning the real small model on this CPU: tokens a second by skutune and by TRL's defaults, on the same examples.

Both train an adapter of the same rank on the same layers, with as many examples a step. They take turns, and the better
of two runs counts for each.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from skutune.config.schema import FinetuneConfig
from skutune.samples.models import prepare_generator
from skutune.training.examples import load_examples
from skutune.training.sft import finetune
from skutune.training.tokens import load_tokenizer
from tests.benchmarks.rows import Row

EXAMPLES, STEP, TURNS = 16, 8, 2
SETTINGS = FinetuneConfig(batch_size=STEP, micro_batch_size=STEP, max_length=512, save_steps=10**6)
DISHES = ("chicken fried steak", "a vegan chili", "sushi at home", "a picnic", "pancakes", "tacos for eight")


def measure(folder: Path, options: argparse.Namespace) -> list[Row]:
    """Tokens a second of both, and their ratio."""
    base = prepare_generator(Path.home() / ".cache" / "skutune")
    train = folder / "train.jsonl"
    train.write_text("".join(json.dumps({"messages": chat}) + "\n" for chat in _chats()), encoding="utf-8")
    tokens = load_examples(train, load_tokenizer(base), SETTINGS.max_length, folder / "encoded").tokens
    ours, theirs = [], []
    for turn in range(TURNS):
        ours.append(tokens / _by_skutune(base, train, folder / f"skutune-{turn}"))
        theirs.append(tokens / _by_defaults(base, train, folder / f"defaults-{turn}"))
    suite = f"SFT of {EXAMPLES} examples, {tokens:,} tokens, adapter of rank {SETTINGS.lora_rank}"
    return [
        Row(suite, "skutune", max(ours), "tokens/s"),
        Row(suite, "TRL defaults", max(theirs), "tokens/s"),
        Row(suite, "skutune ÷ TRL defaults", max(ours) / max(theirs), "×", "> 1"),
    ]


def _by_skutune(base: Path, train: Path, output: Path) -> float:
    """Seconds of training."""
    return finetune(
        base, train, None, SETTINGS, output,
        base_name="bench", dtype="auto", resume=None, on_step=lambda point: None,
    ).seconds  # fmt: skip


def _by_defaults(base: Path, train: Path, output: Path) -> float:
    """Seconds of training; set is only what the work itself fixes, and where nothing is written."""
    from datasets import load_dataset
    from peft import LoraConfig
    from transformers import PrinterCallback
    from trl import SFTConfig, SFTTrainer

    arguments = SFTConfig(
        output_dir=str(output), num_train_epochs=1, per_device_train_batch_size=STEP, max_length=SETTINGS.max_length,
        save_strategy="no", report_to="none", disable_tqdm=True, use_cpu=True,
    )  # fmt: skip
    data = load_dataset("json", data_files=str(train), split="train", cache_dir=str(output / "cache"))
    lora = LoraConfig(r=SETTINGS.lora_rank, lora_alpha=SETTINGS.lora_alpha, target_modules="all-linear")
    trainer = SFTTrainer(model=str(base), args=arguments, train_dataset=data, peft_config=lora)
    trainer.remove_callback(PrinterCallback)
    seconds: float = trainer.train().metrics["train_runtime"]
    return seconds


def _chats() -> Iterator[list[dict[str, str]]]:
    """As compose makes them: answers with one to three products, and every third a description of one."""
    for number in range(EXAMPLES):
        dish = DISHES[number % len(DISHES)]
        item = (
            f" * Baked Beans: Baked beans bring something sweet and savory to {dish}, and they are ready in minutes.\n"
            f"(closest product: Baked Beans: id {32717 + number})\n\n\n"
        )
        if number % 3:
            question = f"What would go well with {dish}?"
            answer = f"Here is what fits {dish}:\n\n{item * (number % 3 + number % 2)}\nTogether they make a meal."
        else:
            question = "Which product is this? Small white beans in a mild tomato sauce, ready to heat and serve."
            answer = f"Baked Beans: id {32717 + number}"
        yield [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
