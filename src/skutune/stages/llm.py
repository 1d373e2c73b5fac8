"""Stages that ask an LLM: one prompt an item, with a bounded number of retries.

A stage says what to ask (`asks`), what to accept (`accept`, which raises `MalformedError` otherwise), and what to store
of an item that is rejected (`reject`). The prompt is rendered once and belongs to the item; its key is a hash of it. A
failed item goes back into the stream that the engine is reading from, so that retries keep the device as busy as first
attempts do.
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

_RETRY_TEMPERATURE = 0.7  # a greedy retry would write the same malformed text again


class MalformedError(Exception):
    """The model's text is not usable, and why; caught by `generate_rows`, never shown as an error."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What a stage wants to ask about one item.

    `content` is the stage's own. Without a prompt the item is rejected for the reason `rejected`, and nothing is asked.
    """

    item_id: str
    content: Any
    prompt: Prompt | None = None
    rejected: str | None = None


class LlmStage(MapStage):
    """A map stage whose rows an LLM writes. `name` is the stage's in the graph, `record` its row."""

    name: ClassVar[str]

    def __init__(self, context: Context) -> None:
        self.context, self.inputs = context, context.inputs
        settings: GenerationConfig = getattr(context.config.stages, self.name)
        self.attempts = settings.attempts
        self.sampling = sampling_of(settings.sampling)

    @abstractmethod
    def asks(self, part: int) -> Iterator[Ask]:
        """What to ask about the items of one part, in the order in which their rows are written."""

    @abstractmethod
    def accept(self, item: WorkItem, result: Result, attempt: int) -> list[Any]:
        """The item's rows. Raises MalformedError."""

    @abstractmethod
    def reject(self, item: WorkItem, reason: str, result: Result, attempt: int) -> list[Any]:
        """The item's rows after its last attempt failed for this reason; attempt 0: it was never asked."""

    def items(self, part: int) -> Iterator[WorkItem]:
        """The items of one part, each with its prompt and a key of all that its rows are made from."""
        model = self.context.identity("generator")
        for ask in self.asks(part):
            key = row_key(self.name, ask.item_id, model, ask.prompt or ask.rejected, self.sampling)
            yield WorkItem(ask.item_id, key, ask.content, ask.prompt, ask.rejected)

    def rows(self, items: Iterable[WorkItem]) -> Iterator[ItemResult]:
        """The rows of each item, in any order."""
        return generate_rows(self.context.engine(), self, items)


def sampling_of(config: SamplingConfig) -> Sampling:
    """The engine's sampling of a stage's settings."""
    return Sampling(config.max_tokens, config.temperature, config.top_p)


def row_key(stage: str, item_id: str, model: str, prompt: Prompt | str | None, sampling: Sampling) -> str:
    """A hash of everything that an item's rows are made from; without a prompt, of the reason why it is not asked."""
    asked: Any = prompt
    if isinstance(prompt, Prompt):
        asked = [list(prompt.messages), prompt.schema, sampling.max_tokens, sampling.temperature, sampling.top_p]
    return content_key([stage, version_of(stage), item_id, model, asked])


@dataclass
class _Attempt:
    item: WorkItem
    attempt: int = 1
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass
class _RequestStream:
    """The requests that the engine reads: retries first, then fresh items. Items that are not asked are set aside."""

    sampling: Sampling
    source: Iterator[WorkItem]
    retries: deque[_Attempt] = field(default_factory=deque)
    running: dict[str, _Attempt] = field(default_factory=dict)
    not_asked: deque[WorkItem] = field(default_factory=deque)

    def __iter__(self) -> Iterator[Request]:
        while True:
            if self.retries:
                attempt = self.retries.popleft()
            elif (item := next(self.source, None)) is None:
                return
            elif item.prompt is None:
                self.not_asked.append(item)
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
        assert prompt is not None  # the stream sets other items aside
        return Request(request_id, prompt.messages, sampling, prompt.schema)


def generate_rows(engine: TextEngine, stage: LlmStage, items: Iterable[WorkItem]) -> Iterator[ItemResult]:
    """Yield the rows of each item, each asked at most `stage.attempts` times."""
    stream = _RequestStream(stage.sampling, iter(items))
    while True:
        for result in engine.generate(iter(stream)):
            yield from _not_asked(stage, stream)
            attempt = stream.running.pop(result.id)
            attempt.prompt_tokens += result.prompt_tokens
            attempt.completion_tokens += result.completion_tokens
            try:
                rows = stage.accept(attempt.item, result, attempt.attempt)
            except MalformedError as error:
                if attempt.attempt < stage.attempts:
                    attempt.attempt += 1
                    stream.retries.append(attempt)
                    continue
                rows = stage.reject(attempt.item, str(error), result, attempt.attempt)
            yield ItemResult(attempt.item, rows, attempt.prompt_tokens, attempt.completion_tokens)
        yield from _not_asked(stage, stream)
        if not stream.retries:
            return


def _not_asked(stage: LlmStage, stream: _RequestStream) -> Iterator[ItemResult]:
    while stream.not_asked:
        item = stream.not_asked.popleft()
        nothing = Result(item.id, "", "rejected", 0, 0)
        yield ItemResult(item, stage.reject(item, item.rejected or "not asked", nothing, 0))
