"""Encoded examples → tensors: padded rows, or one packed row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from skutune.training.tokens import IGNORED


class Collate:
    """Makes a batch of examples with `input_ids`, `labels` and `loss_weights` (1 for every label where that is absent).

    The batch holds these, each (rows, length), and what keeps examples apart: `attention_mask` for padded rows; for
    packed ones `position_ids` and the examples' bounds, as flash attention takes them. Weights are 0 wherever there is
    no label. No examples at all become a row without labels, which trains nothing.
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
