"""Asking an LLM about items, with a bounded number of retries.

A stage says how to ask (`request`), what to accept (`accept`, which raises `MalformedError` for what it does not), and
what to store of an item that never came out right (`reject`). A failed item goes back into the same stream that the
engine is reading from, so retries keep the device as busy as first tries do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from skutune.config.schema import SamplingConfig
from skutune.engines.base import Request, Result, Sampling, TextEngine
from skutune.hashing import content_key
from skutune.pipeline.code_version import version_of
from skutune.prompts.chat_template import Messages
from skutune.stages.base import ItemResult, WorkItem

_RETRY_TEMPERATURE = 0.7  # a greedy retry would give the same malformed text again


class MalformedError(Exception):
    """What the model wrote is not usable, and why; caught by `ask`, never shown as an error."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """How an item is asked: messages, schema, sampling."""

    messages: Messages
    sampling: Sampling
    schema: dict[str, Any] | None = None

    def key(self, stage: str, item_id: str, model: str) -> str:
        """A hash of all that the item's rows are made from."""
        return content_key(
            [
                *(stage, version_of(stage), item_id, model, list(self.messages), self.schema),
                *(self.sampling.max_tokens, self.sampling.temperature, self.sampling.top_p),
            ]
        )


class LlmStage(Protocol):
    """What a stage knows about talking to its model."""

    def prompt(self, item: WorkItem) -> Prompt:
        """How the item is asked."""
        ...

    def accept(self, item: WorkItem, result: Result, attempt: int) -> list[Any]:
        """The item's rows. Raises MalformedError."""
        ...

    def reject(self, item: WorkItem, reason: str, result: Result, attempt: int) -> list[Any]:
        """The item's rows after its last attempt failed for this reason."""
        ...


@dataclass
class _Attempt:
    item: WorkItem
    attempt: int = 1
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass
class _RequestStream:
    """The requests that the engine reads: retries first, then fresh items."""

    dialogue: LlmStage
    source: Iterator[WorkItem]
    retries: deque[_Attempt] = field(default_factory=deque)
    asked: dict[str, _Attempt] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Request]:
        while True:
            if self.retries:
                asked = self.retries.popleft()
            elif (item := next(self.source, None)) is not None:
                asked = _Attempt(item)
            else:
                return
            request_id = f"{asked.item.id}#{asked.attempt}"
            self.asked[request_id] = asked
            yield self._request(request_id, asked)

    def _request(self, request_id: str, asked: _Attempt) -> Request:
        prompt = self.dialogue.prompt(asked.item)
        sampling = prompt.sampling
        if asked.attempt > 1 and sampling.temperature == 0:
            sampling = replace(sampling, temperature=_RETRY_TEMPERATURE)
        return Request(request_id, prompt.messages, sampling, prompt.schema)


def generate_rows(
    engine: TextEngine, dialogue: LlmStage, items: Iterable[WorkItem], attempts: int
) -> Iterator[ItemResult]:
    """Yield the rows of each item, each asked at most `attempts` times."""
    stream = _RequestStream(dialogue, iter(items))
    while True:
        for result in engine.generate(iter(stream)):
            asked = stream.asked.pop(result.id)
            asked.prompt_tokens += result.prompt_tokens
            asked.completion_tokens += result.completion_tokens
            try:
                rows = dialogue.accept(asked.item, result, asked.attempt)
            except MalformedError as error:
                if asked.attempt < attempts:
                    asked.attempt += 1
                    stream.retries.append(asked)
                    continue
                rows = dialogue.reject(asked.item, str(error), result, asked.attempt)
            yield ItemResult(asked.item, rows, asked.prompt_tokens, asked.completion_tokens)
        if not stream.retries:
            return


def sampling_of(config: SamplingConfig) -> Sampling:
    """The engine's sampling of a stage's settings."""
    return Sampling(config.max_tokens, config.temperature, config.top_p)
