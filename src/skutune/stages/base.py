"""What a stage is: a pure generator over rows (map), or one pass over whole tables (fit).

Reading, writing, reuse, resuming and counting belong to the worker, once, for all stages. A new stage is one module
here, one entry in `graph.STAGES`, one section in `config.StagesConfig` and one record.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from skutune.config.schema import Config
from skutune.engines.base import Encoder, TextEngine
from skutune.pipeline.graph import Role
from skutune.pipeline.stage_io import Inputs, Outputs
from skutune.process.launcher import SINGLE, ProcessGroup
from skutune.prompts.chat_template import Messages
from skutune.training.checkpoint_store import Checkpoints


@dataclass(frozen=True, slots=True)
class Prompt:
    """The messages that an LLM is asked, and the JSON Schema of its answer; None: free text."""

    messages: Messages
    schema: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class WorkItem:
    """One unit of a map stage's work: what one call makes rows of.

    Attributes:
        id: unique in the stage.
        key: a hash of everything that the rows are made from.
        content: the stage's own.
        prompt: what an LLM is asked, in a stage that asks one.
        rejected: why the item is rejected without being asked.
    """

    id: str
    key: str
    content: Any
    prompt: Prompt | None = None
    rejected: str | None = None


@dataclass(frozen=True, slots=True)
class ItemResult:
    """The rows of one item, at least one, each with the item's key; and what they cost."""

    item: WorkItem
    rows: list[Any]
    prompt_tokens: int = 0
    completion_tokens: int = 0


class ProgressCallback(Protocol):
    """Tells how far a fit stage is; of one that trains, with how many tokens a second."""

    def __call__(self, unit: str, done: float, total: float, trained_tokens_per_second: float = 0.0, /) -> None: ...


@dataclass
class Context:
    """What a stage is built with. Models are loaded when first asked for and shared by the stages of a process.

    `engine()` is the generator. `judge(role)` is the model of a role as a judge, and `check_judge(role)` sees that it
    can be had without loading it. `base()` frees engines and encoder.
    Of several processes that train together only rank 0 of the `process_group` may write to the outputs.
    """

    config: Config
    inputs: Inputs
    models: Mapping[str, str]
    scratch: Path
    engine: Callable[..., TextEngine]
    encoder: Callable[[], Encoder]
    base: Callable[[], Path]
    source: Callable[[], Path]
    checkpoints: Checkpoints
    judge: Callable[[Role], TextEngine]
    check_judge: Callable[[Role], None]
    report: ProgressCallback = field(default=lambda unit, done, total, trained_tokens_per_second=0.0: None)
    process_group: ProcessGroup = SINGLE

    def identity(self, role: str) -> str:
        """The identity of a model's weights, as it goes into keys."""
        return self.models.get(role, "")


class MapStage(ABC):
    """Makes part k of its table from part k of what it reads.

    `attempts` bounds how often an item is tried; one that was rejected after fewer attempts is not reused.
    """

    record: ClassVar[type]
    attempts: int = 1

    @abstractmethod
    def items(self, part: int) -> Iterator[WorkItem]:
        """The units of work of one part, in the order in which their rows are written."""

    @abstractmethod
    def rows(self, items: Iterable[WorkItem]) -> Iterator[ItemResult]:
        """The rows of each item, in any order, taking items lazily."""

    def refresh(self, item: WorkItem, rows: list[Any]) -> list[Any]:
        """Rows that are reused for an item by its key; columns that the key does not cover are updated."""
        return rows


class FitStage(Protocol):
    """Runs once, over whole tables."""

    def run(self, outputs: Outputs) -> None:
        """Write everything to the outputs."""
        ...
