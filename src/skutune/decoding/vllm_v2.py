"""Answers in the format from vLLM, Model Runner V2: the default on GPUs for dense models.

    LLM(…, logits_processors=["skutune.decoding.vllm_v2:AnswerProcessor"],
        additional_config={"skutune_trie": "FOLDER"})

V2 hands over slots and tokens as tensors on the device, and no list of what a request has written. The drafts are the
same as everywhere, and live on the host: a step brings one small tensor over (slot, length and last token of each row)
and takes back numbers of masks that the device holds already. Reading waits for the step before, which costs what vLLM
would have overlapped with it; walking the trie on the device would save that, and be a second program to trust.
"""

from __future__ import annotations

from typing import Any

import torch
from vllm.v1.worker.gpu.sample.logits_processor import LogitsProcessor

from skutune.decoding.mask_table import MaskTable
from skutune.decoding.vllm_requests import SequenceProgress, build_matcher_factory, check
from skutune.errors import InputError


class AnswerProcessor(LogitsProcessor):  # type: ignore[misc]  # vLLM is not there where types are checked
    """Keeps those rows of a batch in the answer format whose requests ask for it."""

    def __init__(self, vllm_config: Any, req_states: Any) -> None:
        """Raises InputError where there is no fitting trie, or vLLM speculates: then a request has several rows."""
        if vllm_config.speculative_config is not None:
            raise InputError("constrained answers cannot be combined with speculative decoding; turn one of them off")
        self._drafts = build_matcher_factory(vllm_config)
        self._states = req_states
        self._bars = MaskTable(req_states.vocab_size, req_states.device)
        self._slots: dict[int, SequenceProgress] = {}

    @classmethod
    def validate_params(cls, sampling_params: Any) -> None:
        """Raises ValueError for arguments that are wrong or cannot be had together."""
        check(sampling_params)

    def add_request(self, req_idx: int, sampling_params: Any) -> bool:
        """Begin the draft of the request that enters this slot; its last occupant's is dropped."""
        self._slots.pop(req_idx, None)
        draft = self._drafts.begin(sampling_params, int(self._states.prompt_len.np[req_idx]))
        if draft is None:
            return False
        self._slots[req_idx] = SequenceProgress(draft)
        return True

    def apply(self, logits: torch.Tensor, ctx: Any) -> torch.Tensor:
        """The scores, shape (rows, tokens), with -inf for what is barred; written in place."""
        if not any(slot in self._slots for slot in ctx.idx_mapping_np.tolist()):
            return logits
        drafts = {}
        for row, (slot, length, last) in enumerate(self._read(ctx.expanded_idx_mapping)):
            if slot in self._slots:
                progress = self._slots[slot]
                progress.follow(self._written(slot, length, last, progress.seen))
                drafts[row] = progress.draft
        self._bars.apply(logits, drafts)
        return logits

    def _read(self, slots: torch.Tensor) -> list[list[int]]:
        """Slot, length and last token of each row: the one time that the host waits for the device."""
        slots = slots.long()
        lengths = self._states.total_len.gpu[slots].long()
        last = self._states.all_token_ids.gpu[slots, lengths - 1].long()
        rows: list[list[int]] = torch.stack([slots, lengths, last], dim=1).tolist()
        return rows

    def _written(self, slot: int, length: int, last: int, seen: int) -> list[int]:
        """The tokens that a request has written and its draft has not seen: one, or all after a preemption."""
        start = int(self._states.prompt_len.np[slot]) + seen
        if length - start <= 1:
            return [last] if length > start else []
        written: list[int] = self._states.all_token_ids.gpu[slot, start:length].tolist()
        return written
