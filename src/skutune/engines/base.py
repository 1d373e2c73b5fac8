"""The protocols of models: text for messages (`TextEngine`), vectors for texts (`Encoder`).

Requests go in as a stream and results come out in any order, matched by id: an engine keeps its device busy with a
window of requests that spans the parts of a table, and a stage never waits for a batch to fill. An engine pulls the
next request only when it has room, so a stage may put a failed request back into the stream while it is being read.

A malformed answer is a result. A dead engine is an exception: `DeviceError`, or `InputError` for a model that cannot
be loaded.
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
    """One text to generate. With `schema` the text is JSON that follows the JSON Schema, unless truncated."""

    id: str
    messages: Messages
    sampling: Sampling
    schema: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """The text for the request of the same id.

    `finish_reason` is `stop`, `length` if the text was truncated at the request's `max_tokens`, or `context` if the
    context left less room than that and the text filled it; without any room the text is empty.
    """

    id: str
    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int


def truncation(request: Request, room: int) -> str:
    """The `finish_reason` of a truncated text for which the context left this many tokens."""
    return "context" if room < request.sampling.max_tokens else "length"


class TextEngine(Protocol):
    """A language model."""

    @property
    def context(self) -> int | None:
        """The maximum length of prompt and completion together, in tokens; None without a limit."""
        ...

    def generate(self, requests: Iterable[Request]) -> Iterator[Result]:
        """Yield one result for each request, in any order, pulling requests lazily.

        Raises:
            DeviceError: the device or the engine behind it died.
        """
        ...

    def close(self) -> None:
        """Free the model's memory."""
        ...


class Encoder(Protocol):
    """A model that turns texts into unit vectors."""

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
