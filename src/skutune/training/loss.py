"""The loss of answers: mean negative log-likelihood, in nats, of the tokens that carry a label."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from skutune.pulse import beat
from skutune.training.examples import Examples
from skutune.training.models import device, load_tuned, number_format
from skutune.training.tokens import IGNORED

Collate = Callable[[Sequence[dict[str, Any]]], dict[str, torch.Tensor]]


@dataclass(frozen=True, slots=True)
class HeldOutLoss:
    """Mean loss a token, of the base and of the tuned model, over the same answers."""

    base: float
    tuned: float
    examples: int
    tokens: int


def summed_loss(model: Any, inputs: dict[str, Any]) -> torch.Tensor:
    """Loss summed over the labelled tokens of a batch, shape ().

    `inputs` holds `input_ids`, `attention_mask` and `labels`, each (rows, length), padded on the right.
    The output layer, a fifth of a small model's work, is computed only for columns in which some row has a label.
    """
    targets = inputs["labels"][:, 1:]
    columns = (targets != IGNORED).any(dim=0).nonzero().squeeze(1)
    logits = model(
        input_ids=inputs["input_ids"],
        attention_mask=inputs["attention_mask"],
        logits_to_keep=columns,
        use_cache=False,
    ).logits
    wanted = targets[:, columns].reshape(-1)
    return cross_entropy(logits.flatten(0, 1).float(), wanted, ignore_index=IGNORED, reduction="sum")


def mean_loss(model: Any, rows: Any, collate: Collate, batch_size: int) -> tuple[float, int]:
    """(loss a token, tokens) of encoded examples; each token counts alike. The model comes back as it was."""
    training = model.training
    model.eval()
    total, tokens = 0.0, 0
    by_length = sorted(range(len(rows)), key=lambda index: len(rows[index]["input_ids"]))
    with torch.no_grad():
        for start in range(0, len(by_length), batch_size):
            beat()
            batch = collate([rows[index] for index in by_length[start : start + batch_size]])
            batch = {name: tensor.to(model.device) for name, tensor in batch.items()}
            total += summed_loss(model, batch).item()
            tokens += int((batch["labels"][:, 1:] != IGNORED).sum())
    model.train(training)
    return total / max(tokens, 1), tokens


def held_out_losses(
    base: Path, adapter: Path, examples: Examples, *, dtype: str, batch_size: int, pad_token: int
) -> HeldOutLoss:
    """The loss of held-out answers without and with the adapter; the weights are loaded once. Raises InputError."""
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    model = load_tuned(base, adapter, number_format(dtype)).to(device())
    collate = DataCollatorForLanguageModeling(pad_token_id=pad_token)
    with model.disable_adapter():
        before, tokens = mean_loss(model, examples.rows, collate, batch_size)
    after, _ = mean_loss(model, examples.rows, collate, batch_size)
    return HeldOutLoss(base=before, tuned=after, examples=len(examples.rows), tokens=tokens)
