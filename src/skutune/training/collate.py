"""Collates encoded examples into padded rows or one packed row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from skutune.training.tokens import IGNORED


class Collate:
    """Collates examples with `input_ids`, `labels` and `loss_weights` (default: 1 for every label).

    The batch has these, each of shape (rows, length), and `attention_mask` for padded rows, or `position_ids` and the
    sequence boundaries for flash attention with packing. Weights are 0 without a label. An empty list becomes a row
    without labels, which has no gradient.
    """

    def __init__(self, pad_token: int, packed: bool = False) -> None:
        self.pad_token, self.packed = pad_token, packed
        self._tokens = DataCollatorForLanguageModeling(pad_token_id=pad_token, padding_free=packed)

    def __call__(self, examples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        if not examples:
            examples = [{"input_ids": [self.pad_token] * 2, "labels": [IGNORED] * 2}]
        batch: dict[str, Any] = self._tokens(list(examples))
        labels = batch["labels"]
        weights = torch.zeros(labels.shape)
        each = [torch.tensor(example.get("loss_weights") or [1.0] * len(example["labels"])) for example in examples]
        if self.packed:
            weights[0] = torch.cat(each)
        else:
            for row, row_weights in zip(weights, each, strict=True):
                row[: len(row_weights)] = row_weights
        batch["loss_weights"] = weights.masked_fill(labels == IGNORED, 0.0)
        return batch
