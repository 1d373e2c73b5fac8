"""Answers in the format from vLLM, Model Runner V1: CPUs, and GPUs where V2 is switched off.

    LLM(…, logits_processors=["skutune.decoding.vllm_v1:AnswerProcessor"],
        additional_config={"skutune_trie": "FOLDER"})

It is named in the call and is no entry point of the package: vLLM loads every entry point into every server, refuses
those of the other runner, and keeps no output tokens for them. What a request says is in `requests`.

A request's tokens are read when its scores are there: before, vLLM may hold placeholders for tokens that are still
being copied from the device. A request that was preempted comes back with what it had written, and is followed anew.
"""

from __future__ import annotations

from typing import Any

import torch
from vllm.v1.sample.logits_processor import LogitsProcessor
from vllm.v1.sample.logits_processor.builtin import process_dict_updates

from skutune.decoding.mask_table import MaskTable
from skutune.decoding.vllm_requests import SequenceProgress, build_matcher_factory, check


class AnswerProcessor(LogitsProcessor):  # type: ignore[misc]  # vLLM is not there where types are checked
    """Keeps those rows of a batch in the answer format whose requests ask for it."""

    def __init__(self, vllm_config: Any, device: torch.device, is_pin_memory: bool) -> None:
        """Raises InputError where there is no trie, or it was built for another tokenizer."""
        self._drafts = build_matcher_factory(vllm_config)
        self._device = device
        self._bars: MaskTable | None = None
        self._rows: dict[int, tuple[SequenceProgress, list[int]]] = {}

    @classmethod
    def validate_params(cls, sampling_params: Any) -> None:
        """Raises ValueError for arguments that are wrong or cannot be had together."""
        check(sampling_params)

    def is_argmax_invariant(self) -> bool:
        """A greedy choice may be barred."""
        return False

    def update_state(self, batch_update: Any) -> None:
        """Follow what enters, leaves and moves in the batch."""
        process_dict_updates(self._rows, batch_update, self._begun)

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """The scores, shape (rows, tokens), with -inf for what is barred; written in place."""
        if self._rows:
            for progress, written in self._rows.values():
                progress.follow(written[progress.seen :])
            self._bars = self._bars or MaskTable(logits.shape[1], self._device)
            self._bars.apply(logits, {row: progress.draft for row, (progress, _) in self._rows.items()})
        return logits

    def _begun(
        self, sampling: Any, prompt: list[int] | None, written: list[int]
    ) -> tuple[SequenceProgress, list[int]] | None:
        draft = self._drafts.begin(sampling, len(prompt or ()))
        return None if draft is None else (SequenceProgress(draft), written)
