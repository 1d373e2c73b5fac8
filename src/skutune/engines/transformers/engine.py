"""The engine for machines without vLLM: any Llama-like chat model of transformers, on CPU or one GPU."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from skutune.config.schema import GeneratorConfig
from skutune.engines.base import Request, Result, truncation
from skutune.engines.chat import ChatTokens, stop_tokens
from skutune.engines.transformers.batch import Batch, RunningSequence
from skutune.engines.transformers.json_grammar import Grammars
from skutune.engines.transformers.kv_cache import ATTENTION
from skutune.errors import InputError
from skutune.process import accelerators
from skutune.process.number_format import number_format
from skutune.process.progress import report_tokens
from skutune.process.watchdog import heartbeat


class TransformersEngine:
    """A `TextEngine`: continuous batching over a model of transformers.

    The same requests in the same order give the same texts; a request's own random numbers depend on `seed` and its id.

    Args:
        folder: the model's folder, with weights, tokenizer and chat template.
        config: batch size, context length and number format.

    Raises:
        InputError: the model cannot be loaded, is no chat model or has an attention that this engine does not compute.
    """

    def __init__(self, folder: Path, config: GeneratorConfig, seed: int = 0) -> None:
        self.chat = ChatTokens(folder)
        self.model = _load(folder, config.dtype)
        self.stops = stop_tokens(self.chat.tokenizer, self.model.generation_config)
        self.grammars = Grammars(self.chat.tokenizer, self.model.config.vocab_size, self.stops)
        self.context = min(config.context, _longest(self.model.config))
        self.batch_size, self.seed = config.batch_size, seed

    def generate(self, requests: Iterable[Request]) -> Iterator[Result]:
        """See `TextEngine`.

        A stream that is dry is asked again after each result, so that it may hold what a result brought up.
        """
        stream = iter(requests)
        batch = Batch(self.model, self.batch_size, self.stops)
        few = max(1, self.batch_size // 8)  # prompts read one by one would cost a pass over the weights each
        while True:
            if batch.room >= few or not batch.active:
                arrived = [self._begin(request) for request in islice(stream, batch.room)]
                fitting = [writing for writing in arrived if writing.limit > 0 and writing.finish_reason is None]
                yield from (self._result(writing) for writing in arrived if writing.limit <= 0 or writing.finish_reason)
                if fitting:
                    _on_device(batch.join, fitting)
                    report_tokens(0)
                elif not batch.active and not arrived:
                    return
            if batch.active:
                generated = len(batch.active)
                ended = _on_device(batch.step)
                report_tokens(generated)
                yield from map(self._result, ended)

    def close(self) -> None:
        """Free the model's memory; the engine is of no use afterwards."""
        del self.model
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _begin(self, request: Request) -> RunningSequence:
        prompt = self.chat.encode(request.messages)
        sequence = RunningSequence(
            request,
            prompt,
            limit=min(request.sampling.max_tokens, self.context - len(prompt)),
            random=random.Random(f"{self.seed}\x1f{request.id}"),
            matcher=None if request.schema is None else self.grammars.matcher(request.schema),
        )
        if sequence.limit > 0:
            sequence.write_forced()
        return sequence

    def _result(self, writing: RunningSequence) -> Result:
        return Result(
            id=writing.request.id,
            text=self.chat.decode(writing.written),
            finish_reason=_finish_reason(writing),
            prompt_tokens=len(writing.prompt),
            completion_tokens=len(writing.written),
        )


def _finish_reason(sequence: RunningSequence) -> str:
    return "stop" if sequence.finish_reason == "stop" else truncation(sequence.request, sequence.limit)


def check_model(folder: Path) -> None:
    """See that this engine computes a model. Raises InputError where its config cannot be read or asks for more."""
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"model {folder}: its config cannot be read: {error}") from error
    _check_attention(folder, config)


def _load(folder: Path, dtype: str) -> Any:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    check_model(folder)
    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=number_format(dtype), attn_implementation=ATTENTION, local_files_only=True
        )
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"model {folder}: cannot be loaded: {error}") from error
    return model.to(device).eval()


def _check_attention(folder: Path, config: Any) -> None:
    """Refuse what would be computed wrongly: capped scores, attention sinks, layers with a state instead of keys."""
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    capped = getattr(config, "attn_logit_softcapping", None) is not None
    if capped or not kinds <= {"full_attention", "sliding_attention"} or config.model_type == "gpt_oss":
        raise InputError(
            f"model {folder}: the attention of {config.model_type} models needs vLLM: "
            "set models.generator.engine to vllm, or name a model of the Llama, Mistral or Qwen families"
        )


def _longest(config: Any) -> int:
    """The tokens that a model can attend to. Within its sliding window, where it has one, attention is full."""
    window = getattr(config, "sliding_window", None) or config.max_position_embeddings
    return int(min(window, config.max_position_embeddings))


def _on_device(call: Any, *arguments: Any) -> Any:
    heartbeat()
    with accelerators.translate_device_errors():
        return call(*arguments)
