"""vLLM's offline engine, fed continuously from the request stream.

On a CPU build vLLM reads `VLLM_CPU_KVCACHE_SPACE` (GiB for keys and values) and `VLLM_CPU_OMP_THREADS_BIND` (which
cores) from the environment. Without the first it claims nearly all memory of a node, and does not start where that is
not free. No seed is set for a single request: the CPU engine dies of it.
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

_AHEAD = 2
"""Windows of `batch_size` handed to vLLM: one being written, one waiting, so that its scheduler never runs dry."""


class VllmEngine:
    """A `TextEngine` over vLLM.

    Texts are drawn from one stream of random numbers, so they depend on what runs at the same time; greedy ones do not.

    Args:
        folder: the model's folder, with weights, tokenizer and chat template.
        config: batch size, context length and number format.

    Raises:
        InputError: the model cannot be loaded, or is not a chat model.
        DeviceError: the engine did not come up.
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
            # The grammar that the transformers engine uses too, with one way to write a value: where white space is
            # free, a small model writes line breaks until it is cut.
            structured_outputs_config={"backend": "guidance", "disable_any_whitespace": True},
            # On a CPU, capturing graphs compiles C++ for minutes and gains nothing.
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
        """See `TextEngine`.

        A stream that is dry is asked again after each result, so that it may hold what a result brought up.

        Raises:
            DeviceError: the engine died.
            InputError: vLLM refuses a request, as for a schema that its grammars cannot follow.
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
            # A caller that stops reading leaves requests behind; they must not show up in the next stream. A dead
            # engine holds none, and to hear of its death here would hide the error that already tells of it.
            with suppress(*_DEAD):
                self.engine.abort_request(list(running))

    def close(self) -> None:
        """Stop the engine's process and free its memory; the engine cannot be used afterwards."""
        self.engine.engine_core.shutdown()

    def _fill(self, stream: Iterator[Request], running: dict[str, Request]) -> Iterator[Result]:
        while len(running) < _AHEAD * self.batch_size:
            request = next(stream, None)
            if request is None:
                return
            prompt = self.chat.encode(request.messages)
            room = self.context - len(prompt)
            if room <= 0:
                yield Result(request.id, "", "context", len(prompt), 0)
                continue
            self._add(request, prompt, room)
            running[request.id] = request

    def _add(self, request: Request, prompt: list[int], room: int) -> None:
        try:
            with _translate_engine_death():
                self.engine.add_request(request.id, {"prompt_token_ids": prompt}, _parameters(request, room))
        except (ValueError, VLLMValidationError) as error:
            raise InputError(
                f"request {request.id!r}: vLLM refuses its schema, its sampling or its prompt: {error}"
            ) from error

    def _result(self, request: Request, output: Any) -> Result:
        written = output.outputs[0]
        tokens, prompt_tokens = list(written.token_ids), len(output.prompt_token_ids)
        is_complete = written.finish_reason == "stop"
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
            f"vLLM's engine died: {error} Its log says why; where nothing there helps, try another device"
        ) from error


def _parameters(request: Request, room: int) -> Any:
    sampling = request.sampling
    return SamplingParams(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        max_tokens=min(sampling.max_tokens, room),
        structured_outputs=None if request.schema is None else StructuredOutputsParams(json=request.schema),
    )
