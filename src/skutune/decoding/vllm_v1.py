"""Constrained answers in vLLM with Model Runner V1, which runs on CPUs, and on GPUs if V2 is disabled.

    LLM(…, logits_processors=["skutune.decoding.vllm_v1:AnswerProcessor"],
        additional_config={"skutune_trie": "FOLDER"})

The processor is named in the call instead of an entry point of the package: vLLM loads every entry point into every
server, refuses those of the other runner, and keeps no output tokens for them. `vllm_requests` defines the parameters
of a request.

A request's tokens are read in `apply`: before, vLLM may hold placeholders for tokens that are still being copied from
the device. A preempted request returns with its output so far, which a new matcher consumes.
"""

from __future__ import annotations

from typing import Any

import torch
from vllm.v1.sample.logits_processor import LogitsProcessor
from vllm.v1.sample.logits_processor.builtin import process_dict_updates

from skutune.decoding.mask_table import MaskTable
from skutune.decoding.vllm_requests import SequenceProgress, build_matcher_factory, validate_sampling


class AnswerProcessor(LogitsProcessor):  # type: ignore[misc]  # vLLM is not installed where types are checked
    """Constrains the rows of a batch whose requests opt in."""

    def __init__(self, vllm_config: Any, device: torch.device, is_pin_memory: bool) -> None:
        """Raises InputError if there is no trie, or it was built for another tokenizer."""
        self._matcher_factory = build_matcher_factory(vllm_config)
        self._device = device
        self._mask_table: MaskTable | None = None
        self._rows: dict[int, tuple[SequenceProgress, list[int]]] = {}

    @classmethod
    def validate_params(cls, sampling_params: Any) -> None:
        """Raises ValueError for arguments that are invalid or cannot be combined."""
        validate_sampling(sampling_params)

    def is_argmax_invariant(self) -> bool:
        """False: a mask may exclude the most likely token."""
        return False

    def update_state(self, batch_update: Any) -> None:
        """Track requests that enter, leave or move within the batch."""
        process_dict_updates(self._rows, batch_update, self._add_request)

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """Set the logits, shape (rows, tokens), of tokens that are not allowed to -inf, in place."""
        if self._rows:
            for progress, output in self._rows.values():
                progress.advance(output[progress.consumed :])
            self._mask_table = self._mask_table or MaskTable(logits.shape[1], self._device)
            self._mask_table.apply(logits, {row: progress.matcher for row, (progress, _) in self._rows.items()})
        return logits

    def _add_request(
        self, sampling: Any, prompt: list[int] | None, output: list[int]
    ) -> tuple[SequenceProgress, list[int]] | None:
        matcher = self._matcher_factory.create(sampling, len(prompt or ()))
        return None if matcher is None else (SequenceProgress(matcher), output)
