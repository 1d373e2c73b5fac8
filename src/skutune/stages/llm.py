"""Stages that generate rows with an LLM: one prompt per item, with a bounded number of retries.

A stage defines its prompts (`item_prompts`), turns a response into rows or raises `MalformedError` (`accept`), and
defines the rows of rejected items (`reject`). A prompt is rendered once; the item's key is a hash of it. Failed items
go back into the request stream that the engine is reading, so that retries are batched together with first attempts.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from skutune.config.schema import GenerationConfig, SamplingConfig
from skutune.engines.base import Request, Result, Sampling, TextEngine
from skutune.hashing import content_key
from skutune.pipeline.code_version import version_of
from skutune.stages.base import Context, ItemResult, MapStage, Prompt, WorkItem

_RETRY_TEMPERATURE = 0.7  # a greedy retry would produce the same malformed text


class MalformedError(Exception):
    """The model's response is unusable; the message becomes the row's `rejected` reason after the last attempt."""


@dataclass(frozen=True, slots=True)
class ItemPrompt:
    """The prompt for one item of a stage.

    `content` becomes the `content` of the `WorkItem`. Without a prompt the item is rejected for the reason `rejected`.
    """

    item_id: str
    content: Any
    prompt: Prompt | None = None
    rejected: str | None = None


class LlmStage(MapStage):
    """A map stage whose rows an LLM generates. `name` is the stage's name in the graph, `record` its row type."""

    name: ClassVar[str]

    def __init__(self, context: Context) -> None:
        self.context, self.inputs = context, context.inputs
        settings: GenerationConfig = getattr(context.config.stages, self.name)
        self.attempts = settings.attempts
        self.sampling = to_sampling(settings.sampling)

    @abstractmethod
    def item_prompts(self, part: int) -> Iterator[ItemPrompt]:
        """The prompts for one part, in the order in which their rows are written."""

    @abstractmethod
    def accept(self, item: WorkItem, result: Result, attempt: int) -> list[Any]:
        """The item's rows, parsed from the response. Raises MalformedError."""

    @abstractmethod
    def reject(self, item: WorkItem, reason: str, result: Result, attempt: int) -> list[Any]:
        """The rows of an item that is rejected; attempt 0: without a request, or because its prompt is too long."""

    def items(self, part: int) -> Iterator[WorkItem]:
        """The items of one part, each with its prompt and a key that hashes all inputs of its rows."""
        model = self.context.identity("generator")
        for item in self.item_prompts(part):
            key = row_key(self.name, item.item_id, model, item.prompt or item.rejected, self.sampling)
            yield WorkItem(item.item_id, key, item.content, item.prompt, item.rejected)

    def rows(self, items: Iterable[WorkItem]) -> Iterator[ItemResult]:
        """The rows of each item, in any order."""
        return generate_rows(self.context.engine(), self, items)


def to_sampling(config: SamplingConfig) -> Sampling:
    """Convert a stage's sampling settings to the engine's type."""
    return Sampling(config.max_tokens, config.temperature, config.top_p)


def row_key(stage: str, item_id: str, model: str, prompt: Prompt | str | None, sampling: Sampling) -> str:
    """A hash of all inputs of an item's rows; `prompt` is the rejection reason of an item without a prompt."""
    request: Any = prompt
    if isinstance(prompt, Prompt):
        request = [list(prompt.messages), prompt.schema, sampling.max_tokens, sampling.temperature, sampling.top_p]
    return content_key([stage, version_of(stage), item_id, model, request])


@dataclass
class _Attempt:
    item: WorkItem
    attempt: int = 1
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass
class _RequestStream:
    """The engine's request stream: retries first, then new items. Items without a prompt are set aside."""

    sampling: Sampling
    source: Iterator[WorkItem]
    retries: deque[_Attempt] = field(default_factory=deque)
    running: dict[str, _Attempt] = field(default_factory=dict)
    without_prompt: deque[WorkItem] = field(default_factory=deque)

    def __iter__(self) -> Iterator[Request]:
        while True:
            if self.retries:
                attempt = self.retries.popleft()
            elif (item := next(self.source, None)) is None:
                return
            elif item.prompt is None:
                self.without_prompt.append(item)
                continue
            else:
                attempt = _Attempt(item)
            request_id = f"{attempt.item.id}#{attempt.attempt}"
            self.running[request_id] = attempt
            yield self._request(request_id, attempt)

    def _request(self, request_id: str, attempt: _Attempt) -> Request:
        sampling = self.sampling
        if attempt.attempt > 1 and sampling.temperature == 0:
            sampling = replace(sampling, temperature=_RETRY_TEMPERATURE)
        prompt = attempt.item.prompt
        assert prompt is not None  # __iter__ sets items without a prompt aside
        return Request(request_id, prompt.messages, sampling, prompt.schema)


def generate_rows(engine: TextEngine, stage: LlmStage, items: Iterable[WorkItem]) -> Iterator[ItemResult]:
    """Yield the rows of each item, with at most `stage.attempts` requests per item."""
    stream = _RequestStream(stage.sampling, iter(items))
    while True:
        for result in engine.generate(iter(stream)):
            yield from _reject_without_prompt(stage, stream)
            attempt = stream.running.pop(result.id)
            attempt.prompt_tokens += result.prompt_tokens
            attempt.completion_tokens += result.completion_tokens
            try:
                rows = stage.accept(attempt.item, result, attempt.attempt)
            except MalformedError as error:
                if result.finish_reason == "context":  # another attempt has no more room
                    rows = stage.reject(attempt.item, _no_room(engine, stage, result), result, 0)
                elif attempt.attempt < stage.attempts:
                    attempt.attempt += 1
                    stream.retries.append(attempt)
                    continue
                else:
                    rows = stage.reject(attempt.item, str(error), result, attempt.attempt)
            yield ItemResult(attempt.item, rows, attempt.prompt_tokens, attempt.completion_tokens)
        yield from _reject_without_prompt(stage, stream)
        if not stream.retries:
            return


def _no_room(engine: TextEngine, stage: LlmStage, result: Result) -> str:
    return (
        f"the prompt has {result.prompt_tokens:,} tokens; with stages.{stage.name}.sampling.max_tokens "
        f"{stage.sampling.max_tokens:,} that exceeds the context of {engine.context or 0:,} tokens "
        "(models.generator.context)"
    )


def _reject_without_prompt(stage: LlmStage, stream: _RequestStream) -> Iterator[ItemResult]:
    while stream.without_prompt:
        item = stream.without_prompt.popleft()
        empty = Result(item.id, "", "rejected", 0, 0)
        yield ItemResult(item, stage.reject(item, item.rejected or "no prompt", empty, 0))
