"""Greedy answers of the base and of the tuned model, without constraints: what the model itself has learned."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from skutune.chat_template import Messages
from skutune.engines.chat import stop_tokens
from skutune.training.models import device, load_model, load_tuned, number_format
from skutune.training.tokens import load_tokenizer, prompt_tokens


@dataclass(frozen=True, slots=True)
class Generated:
    """An answer, with white space around it kept: the format's parser judges it as it is, but for the end.

    `finish_reason` is stop or length. `seconds` is the batch's time divided by its questions.
    """

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    seconds: float


class Answerer:
    """A base model in memory, with an adapter that can be switched off, so that its weights are loaded once.

    Raises:
        InputError: model, tokenizer or adapter cannot be loaded.
    """

    def __init__(self, base: Path, adapter: Path | None, *, dtype: str) -> None:
        # The adapter's folder holds the tokenizer it was trained with, and with it the template of a base without one.
        self.tokenizer = load_tokenizer(adapter or base)
        numbers = number_format(dtype)
        model = load_tuned(base, adapter, numbers) if adapter else load_model(base, numbers)
        self.model = model.to(device()).eval()
        self.has_adapter = adapter is not None
        self.stops = sorted(stop_tokens(self.tokenizer, self.model.generation_config))

    def answers(
        self, questions: Sequence[Messages], *, tuned: bool, max_tokens: int, batch_size: int
    ) -> Iterator[Generated]:
        """One answer a question, in their order. `tuned` False switches the adapter off."""
        prompts = [prompt_tokens(self.tokenizer, messages) for messages in questions]
        off = self.has_adapter and not tuned
        for start in range(0, len(prompts), batch_size):
            with self.model.disable_adapter() if off else nullcontext():
                batch = self._batch(prompts[start : start + batch_size], max_tokens)
            yield from batch

    def _batch(self, prompts: list[list[int]], max_tokens: int) -> list[Generated]:
        started = time.monotonic()
        inputs = {name: ids.to(self.model.device) for name, ids in self._padded(prompts).items()}
        with torch.inference_mode():
            output = self.model.generate(
                **inputs,
                max_new_tokens=max_tokens,
                do_sample=False,
                temperature=None,
                top_p=None,
                top_k=None,
                eos_token_id=self.stops,
                pad_token_id=self.tokenizer.pad_token_id,
            )
        seconds = (time.monotonic() - started) / len(prompts)
        written = output[:, inputs["input_ids"].shape[1] :].tolist()
        return [self._generated(ids, len(prompt), seconds) for prompt, ids in zip(prompts, written, strict=True)]

    def _padded(self, prompts: list[list[int]]) -> dict[str, torch.Tensor]:
        """Prompts padded on the left, so that every answer begins in the same column."""
        longest = max(map(len, prompts))
        pad = self.tokenizer.pad_token_id
        return {
            "input_ids": torch.tensor([[pad] * (longest - len(ids)) + ids for ids in prompts]),
            "attention_mask": torch.tensor([[0] * (longest - len(ids)) + [1] * len(ids) for ids in prompts]),
        }

    def _generated(self, written: list[int], prompt_length: int, seconds: float) -> Generated:
        end = next((index for index, token in enumerate(written) if token in self.stops), None)
        text: str = self.tokenizer.decode(written[:end], skip_special_tokens=True)
        return Generated(
            text=text.rstrip(),
            finish_reason="length" if end is None else "stop",
            prompt_tokens=prompt_length,
            completion_tokens=len(written) if end is None else end + 1,
            seconds=seconds,
        )


def answers_for(
    base: Path,
    adapter: Path | None,
    questions: Sequence[Messages],
    *,
    max_tokens: int,
    batch_size: int,
    dtype: str,
) -> Iterator[Generated]:
    """Greedy answers of one model, in the questions' order; for base and tuned together use an `Answerer`."""
    answerer: Any = Answerer(base, adapter, dtype=dtype)
    yield from answerer.answers(questions, tuned=adapter is not None, max_tokens=max_tokens, batch_size=batch_size)
