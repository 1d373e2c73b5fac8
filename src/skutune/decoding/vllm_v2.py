"""Constrained answers in vLLM with Model Runner V2, the default on GPUs for dense models.

    LLM(…, logits_processors=["skutune.decoding.vllm_v2:AnswerProcessor"],
        additional_config={"skutune_trie": "FOLDER"})

V2 passes slots and tokens as tensors on the device, without a list of a request's output. The matchers are those of the
other engines and run on the host: each step copies one small tensor to the host (slot, length and last token of each
row), and sends back the numbers of masks that are already on the device. The copy waits for the previous step, which
vLLM would otherwise overlap; a trie walk on the device would avoid this at the price of a second implementation.
"""

from __future__ import annotations

from typing import Any

import torch
from vllm.v1.worker.gpu.sample.logits_processor import LogitsProcessor

from skutune.decoding.mask_table import MaskTable
from skutune.decoding.vllm_requests import SequenceProgress, build_matcher_factory, validate_sampling
from skutune.errors import InputError


class AnswerProcessor(LogitsProcessor):  # type: ignore[misc]  # vLLM is not installed where types are checked
    """Constrains the rows of a batch whose requests opt in."""

    def __init__(self, vllm_config: Any, req_states: Any) -> None:
        """Raises InputError without a trie of the tokenizer, or for speculative decoding (several rows a request)."""
        if vllm_config.speculative_config is not None:
            raise InputError("constrained answers cannot be combined with speculative decoding; disable one of them")
        self._matcher_factory = build_matcher_factory(vllm_config)
        self._states = req_states
        self._mask_table = MaskTable(req_states.vocab_size, req_states.device)
        self._slots: dict[int, SequenceProgress] = {}

    @classmethod
    def validate_params(cls, sampling_params: Any) -> None:
        """Raises ValueError for arguments that are invalid or cannot be combined."""
        validate_sampling(sampling_params)

    def add_request(self, req_idx: int, sampling_params: Any) -> bool:
        """Create the matcher of the request in this slot, replacing that of the previous request."""
        self._slots.pop(req_idx, None)
        matcher = self._matcher_factory.create(sampling_params, int(self._states.prompt_len.np[req_idx]))
        if matcher is None:
            return False
        self._slots[req_idx] = SequenceProgress(matcher)
        return True

    def apply(self, logits: torch.Tensor, ctx: Any) -> torch.Tensor:
        """Set the logits, shape (rows, tokens), of tokens that are not allowed to -inf, in place."""
        if not any(slot in self._slots for slot in ctx.idx_mapping_np.tolist()):
            return logits
        matchers = {}
        for row, (slot, length, last) in enumerate(self._read(ctx.expanded_idx_mapping)):
            if slot in self._slots:
                progress = self._slots[slot]
                progress.advance(self._new_tokens(slot, length, last, progress.consumed))
                matchers[row] = progress.matcher
        self._mask_table.apply(logits, matchers)
        return logits

    def _read(self, slots: torch.Tensor) -> list[list[int]]:
        """Copy slot, length and last token of each row to the host: the only synchronization with the device."""
        slots = slots.long()
        lengths = self._states.total_len.gpu[slots].long()
        last = self._states.all_token_ids.gpu[slots, lengths - 1].long()
        rows: list[list[int]] = torch.stack([slots, lengths, last], dim=1).tolist()
        return rows

    def _new_tokens(self, slot: int, length: int, last: int, consumed: int) -> list[int]:
        """The tokens that a request's matcher has not consumed yet: one, or all after a preemption."""
        start = int(self._states.prompt_len.np[slot]) + consumed
        if length - start <= 1:
            return [last] if length > start else []
        output: list[int] = self._states.all_token_ids.gpu[slot, start:length].tolist()
        return output
