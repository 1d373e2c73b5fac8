"""Protocols for models: `TextEngine` generates text for messages, `Encoder` embeds texts.

An engine consumes a stream of requests and yields results in any order, matched by id. It keeps its device busy with a
window of requests that spans the parts of a table, so a stage never waits for a batch to fill. It pulls a request only
when a slot is free, so a stage may requeue a failed request while the stream is being consumed.

A malformed text is a result. A dead engine raises `DeviceError`, and a model that cannot be loaded `InputError`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from skutune.prompts.chat_template import Messages


@dataclass(frozen=True, slots=True)
class Sampling:
    """Sampling parameters. `temperature` 0 is greedy; `max_tokens` bounds the generated tokens."""

    max_tokens: int
    temperature: float = 0.7
    top_p: float = 0.95


@dataclass(frozen=True, slots=True)
class Request:
    """A request for one text. With `schema`, the text is JSON that follows this JSON Schema, unless truncated."""

    id: str
    messages: Messages
    sampling: Sampling
    schema: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """The generated text of the request with the same id.

    `finish_reason` is `stop`, `length` if the text was truncated at the request's `max_tokens`, or `context` if it was
    truncated earlier by the context length; a prompt that fills the context gives an empty text.
    """

    id: str
    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int


def truncation(request: Request, available: int) -> str:
    """The `finish_reason` of a truncated text for which the context left `available` tokens."""
    return "context" if available < request.sampling.max_tokens else "length"


class TextEngine(Protocol):
    """A language model."""

    @property
    def context(self) -> int | None:
        """The maximum length of prompt and completion together, in tokens; None without a limit."""
        ...

    def generate(self, requests: Iterable[Request]) -> Iterator[Result]:
        """Yield one result for each request, in any order, pulling requests lazily.

        Raises:
            DeviceError: the device or the engine died.
        """
        ...

    def close(self) -> None:
        """Free the model's memory."""
        ...


class Encoder(Protocol):
    """A model that embeds texts as unit vectors."""

    @property
    def dimension(self) -> int:
        """The length of a vector."""
        ...

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors, shape (len(texts), dimension), float32, in the order of the texts; never NaN."""
        ...

    def close(self) -> None:
        """Free the model's memory."""
        ...
