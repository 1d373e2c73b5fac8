"""vLLM's offline engine with a continuous request stream.

CPU builds of vLLM read `VLLM_CPU_KVCACHE_SPACE` (GiB of KV cache) and `VLLM_CPU_OMP_THREADS_BIND` (cores) from the
environment. Without the first, vLLM allocates nearly all memory of a NUMA node, and fails to start if that is not free.
Requests have no seeds, which crash the CPU engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from vllm import EngineArgs, LLMEngine, SamplingParams
from vllm.sampling_params import StructuredOutputsParams
from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

from skutune.config.schema import GeneratorConfig
from skutune.engines.base import Request, Result, truncation
from skutune.engines.chat import ChatTokens
from skutune.errors import DeviceError, InputError
from skutune.process.progress import report_tokens
from skutune.process.watchdog import heartbeat

try:
    from vllm.exceptions import VLLMValidationError
except ImportError:  # older releases raise ValueError alone
    VLLMValidationError = ValueError

_DEAD = (EngineDeadError, EngineGenerateError)

_BATCHES_IN_FLIGHT = 2
"""Batches of requests in vLLM: one running and one waiting, so that its scheduler never runs dry."""


class VllmEngine:
    """A `TextEngine` over vLLM.

    All requests share one random stream, so sampled texts depend on concurrent requests; greedy texts do not.

    Args:
        folder: the model's folder, with weights, tokenizer and chat template.
        config: batch size, context length and number format.

    Raises:
        InputError: the model cannot be loaded, or is not a chat model.
        DeviceError: the engine did not start.
    """

    def __init__(self, folder: Path, config: GeneratorConfig, seed: int = 0) -> None:
        self.chat = ChatTokens(folder)
        self.batch_size = config.batch_size
        arguments = EngineArgs(
            model=str(folder),
            dtype=config.dtype,
            max_model_len=config.context,
            max_num_seqs=config.batch_size,
            seed=seed,
            enable_prefix_caching=True,
            # The grammar backend of the transformers engine. Flexible white space is disabled, because small models
            # generate line breaks until they are truncated.
            structured_outputs_config={"backend": "guidance", "disable_any_whitespace": True},
            # On a CPU, compilation takes minutes and has no benefit.
            enforce_eager=not torch.cuda.is_available(),
            disable_log_stats=True,
        )
        try:
            self.engine = LLMEngine.from_engine_args(arguments)
        except ValueError as error:
            raise InputError(f"model {folder}: vLLM cannot load it: {error}") from error
        except RuntimeError as error:
            raise DeviceError(f"vLLM did not start on this machine: {error}") from error
        self.context = self.engine.model_config.max_model_len

    def generate(self, requests: Iterable[Request]) -> Iterator[Result]:
        """See `TextEngine`. An exhausted stream is polled again after each result, so that results may add requests.

        Raises:
            DeviceError: the engine died.
            InputError: vLLM rejects a request, for example because its schema is not supported.
        """
        stream = iter(requests)
        running: dict[str, Request] = {}
        written: dict[str, int] = {}
        try:
            while True:
                yield from self._fill(stream, running)
                if not running:
                    return
                outputs = self._step()
                if outputs:
                    heartbeat()
                for output in outputs:
                    tokens = len(output.outputs[0].token_ids)
                    report_tokens(tokens - written.get(output.request_id, 0))
                    written[output.request_id] = tokens
                    if output.finished:
                        del written[output.request_id]
                        yield self._result(running.pop(output.request_id), output)
        finally:
            # If the caller stops early, its remaining requests must not appear in the next stream. A dead engine has no
            # requests; its error here would hide the original one.
            with suppress(*_DEAD):
                self.engine.abort_request(list(running))

    def close(self) -> None:
        """Stop the engine's process and free its memory; the engine cannot be used afterwards."""
        self.engine.engine_core.shutdown()

    def _fill(self, stream: Iterator[Request], running: dict[str, Request]) -> Iterator[Result]:
        while len(running) < _BATCHES_IN_FLIGHT * self.batch_size:
            request = next(stream, None)
            if request is None:
                return
            prompt = self.chat.encode(request.messages)
            available = self.context - len(prompt)
            if available <= 0:
                yield Result(request.id, "", "context", len(prompt), 0)
                continue
            self._add(request, prompt, available)
            running[request.id] = request

    def _add(self, request: Request, prompt: list[int], available: int) -> None:
        try:
            with _translate_engine_death():
                self.engine.add_request(request.id, {"prompt_token_ids": prompt}, _parameters(request, available))
        except (ValueError, VLLMValidationError) as error:
            raise InputError(
                f"request {request.id!r}: vLLM rejects its schema, its sampling parameters or its prompt: {error}"
            ) from error

    def _result(self, request: Request, output: Any) -> Result:
        completion = output.outputs[0]
        tokens, prompt_tokens = list(completion.token_ids), len(output.prompt_token_ids)
        is_complete = completion.finish_reason == "stop"
        return Result(
            id=request.id,
            text=self.chat.decode(tokens),
            finish_reason="stop" if is_complete else truncation(request, self.context - prompt_tokens),
            prompt_tokens=prompt_tokens,
            completion_tokens=len(tokens),
        )

    def _step(self) -> list[Any]:
        with _translate_engine_death():
            outputs: list[Any] = self.engine.step()
        return outputs


@contextmanager
def _translate_engine_death() -> Iterator[None]:
    try:
        yield
    except _DEAD as error:
        raise DeviceError(
            f"vLLM's engine died: {error} Check its log; if that does not help, use another device"
        ) from error


def _parameters(request: Request, available: int) -> Any:
    sampling = request.sampling
    return SamplingParams(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        max_tokens=min(sampling.max_tokens, available),
        structured_outputs=None if request.schema is None else StructuredOutputsParams(json=request.schema),
    )
