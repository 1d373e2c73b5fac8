"""The loss on answers: weighted negative log-likelihood of the labelled tokens, in nats."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from skutune.process.number_format import number_format
from skutune.process.watchdog import heartbeat
from skutune.training.batches import micro_batches
from skutune.training.collate import Collate
from skutune.training.examples import Examples
from skutune.training.models import device, load_tuned
from skutune.training.tokens import IGNORED


@dataclass(frozen=True, slots=True)
class HeldOutLoss:
    """Mean loss per token of the base and the tuned model on the same answers."""

    base: float
    tuned: float
    examples: int
    tokens: int


def summed_loss(model: Any, inputs: dict[str, Any], *, fused: bool = False) -> torch.Tensor:
    """Weighted loss summed over the labelled tokens of a batch, shape ().

    `inputs` is a batch of `Collate`. The output layer, a fifth of a small model's FLOPs, is computed only where labels
    are: on a CPU for columns with a label in some row; with `fused`, by the tiled head that TRL's trainer adds on GPUs.
    """
    given = {name: value for name, value in inputs.items() if name not in ("labels", "loss_weights")}
    weights = inputs["loss_weights"][:, 1:]
    if fused:
        log_probabilities = model(**given, labels=inputs["labels"], fused_lm_head=True).log_probs
        return -(log_probabilities * weights).sum()
    targets = inputs["labels"][:, 1:]
    columns = (targets != IGNORED).any(dim=0).nonzero().squeeze(1)
    logits = model(**given, logits_to_keep=columns, use_cache=False).logits
    wanted = targets[:, columns].reshape(-1)
    losses = cross_entropy(logits.flatten(0, 1).float(), wanted, ignore_index=IGNORED, reduction="none")
    return (losses * weights[:, columns].reshape(-1)).sum()


def mean_loss(
    model: Any, rows: Any, collate: Collate, batch_size: int, *, rank: int = 0, processes: int = 1, fused: bool = False
) -> tuple[float, int]:
    """The weighted mean loss per token of encoded examples, and the number of labelled tokens.

    With several processes each computes a share and all get the result. All have the same number of forward passes,
    which a model with sharded weights requires. The model's training mode is restored.
    """
    lengths = [len(ids) for ids in rows["input_ids"]]
    share = micro_batches(range(len(rows)), lengths, processes, batch_size)[rank]
    training = model.training
    model.eval()
    totals = np.zeros(3)  # loss, weight, tokens
    with torch.no_grad():
        for indices in share:
            heartbeat()
            batch = collate([rows[index] for index in indices])
            batch = {name: value.to(model.device) for name, value in batch.items() if torch.is_tensor(value)}
            weight, tokens = batch["loss_weights"][:, 1:].sum(), (batch["labels"][:, 1:] != IGNORED).sum()
            totals += (summed_loss(model, batch, fused=fused).item(), weight.item(), tokens.item())
    model.train(training)
    if processes > 1:
        reduced = torch.from_numpy(totals).to(model.device)
        torch.distributed.all_reduce(reduced)
        totals = reduced.cpu().numpy()
    return float(totals[0] / max(totals[1], 1e-9)), int(totals[2])


def held_out_losses(
    base: Path, adapter: Path, examples: Examples, *, dtype: str, batch_size: int, pad_token: int
) -> HeldOutLoss:
    """The loss on held-out answers without and with the adapter. Raises InputError."""
    model = load_tuned(base, adapter, number_format(dtype)).to(device())
    collate = Collate(pad_token)
    with model.disable_adapter():
        before, tokens = mean_loss(model, examples.rows, collate, batch_size)
    after, _ = mean_loss(model, examples.rows, collate, batch_size)
    return HeldOutLoss(base=before, tuned=after, examples=len(examples.rows), tokens=tokens)
