"""The engine for machines without vLLM: any Llama-like chat model of transformers, on a CPU or one GPU."""

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
    """A `TextEngine` with continuous batching over a transformers model.

    The same requests in the same order give the same texts; a request's random numbers depend on `seed` and its id.

    Args:
        folder: the model's folder, with weights, tokenizer and chat template.
        config: batch size, context length and number format.

    Raises:
        InputError: the model cannot be loaded, is not a chat model, or has an unsupported type of attention.
    """

    def __init__(self, folder: Path, config: GeneratorConfig, seed: int = 0) -> None:
        self.chat = ChatTokens(folder)
        self.model = _load(folder, config.dtype)
        self.stops = stop_tokens(self.chat.tokenizer, self.model.generation_config)
        self.grammars = Grammars(self.chat.tokenizer, self.model.config.vocab_size, self.stops)
        self.context = min(config.context, _max_context(self.model.config))
        self.batch_size, self.seed = config.batch_size, seed

    def generate(self, requests: Iterable[Request]) -> Iterator[Result]:
        """See `TextEngine`. An exhausted stream is polled again after each result, so that results may add requests."""
        stream = iter(requests)
        batch = Batch(self.model, self.batch_size, self.stops)
        min_join = max(1, self.batch_size // 8)  # prefilling prompts one by one costs a pass over the weights each
        while True:
            if batch.free_slots >= min_join or not batch.active:
                new = [self._build_sequence(request) for request in islice(stream, batch.free_slots)]
                runnable = [sequence for sequence in new if sequence.limit > 0 and sequence.finish_reason is None]
                yield from (self._result(sequence) for sequence in new if sequence.limit <= 0 or sequence.finish_reason)
                if runnable:
                    _on_device(batch.join, runnable)
                    report_tokens(0)
                elif not batch.active and not new:
                    return
            if batch.active:
                generated = len(batch.active)
                ended = _on_device(batch.step)
                report_tokens(generated)
                yield from map(self._result, ended)

    def close(self) -> None:
        """Free the model's memory; the engine cannot be used afterwards."""
        del self.model
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _build_sequence(self, request: Request) -> RunningSequence:
        prompt = self.chat.encode(request.messages)
        sequence = RunningSequence(
            request,
            prompt,
            limit=min(request.sampling.max_tokens, self.context - len(prompt)),
            random=random.Random(f"{self.seed}\x1f{request.id}"),
            matcher=None if request.schema is None else self.grammars.matcher(request.schema),
        )
        if sequence.limit > 0:
            sequence.append_forced()
        return sequence

    def _result(self, sequence: RunningSequence) -> Result:
        return Result(
            id=sequence.request.id,
            text=self.chat.decode(sequence.generated),
            finish_reason=_finish_reason(sequence),
            prompt_tokens=len(sequence.prompt),
            completion_tokens=len(sequence.generated),
        )


def _finish_reason(sequence: RunningSequence) -> str:
    if sequence.finish_reason == "stop":
        return "stop"
    if len(sequence.generated) < sequence.limit:  # the grammar rejected a token
        return "length"
    return truncation(sequence.request, sequence.limit)


def check_model(folder: Path) -> None:
    """Check that this engine supports a model. Raises InputError if not, or if the config cannot be read."""
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
    """Reject attention that would be computed wrongly: logit soft-capping, attention sinks, recurrent layers."""
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    capped = getattr(config, "attn_logit_softcapping", None) is not None
    if capped or not kinds <= {"full_attention", "sliding_attention"} or config.model_type == "gpt_oss":
        raise InputError(
            f"model {folder}: the attention of {config.model_type} models needs vLLM; "
            "set models.generator.engine to vllm, or use a model of the Llama, Mistral or Qwen families"
        )


def _max_context(config: Any) -> int:
    """The maximum context of full attention: a sliding window limits it."""
    window = getattr(config, "sliding_window", None) or config.max_position_embeddings
    return int(min(window, config.max_position_embeddings))


def _on_device(call: Any, *arguments: Any) -> Any:
    heartbeat()
    with accelerators.translate_device_errors():
        return call(*arguments)
