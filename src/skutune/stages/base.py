"""Stage interfaces: a map stage is a pure generator over rows, a fit stage makes one pass over whole tables.

The worker does all reading, writing, reuse, resuming and counting. A new stage needs one module in this package, one
entry each in `stages._CLASSES` and `graph.STAGES`, one section in `config.StagesConfig` and one record.
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
    """The messages of one LLM request, and the JSON Schema of its response; None: free text."""

    messages: Messages
    schema: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class WorkItem:
    """One unit of a map stage's work.

    Attributes:
        id: unique within the stage.
        key: a hash of all inputs of the item's rows.
        content: opaque to the worker; whatever the stage needs to create the rows.
        prompt: the LLM's prompt, in stages that use an LLM.
        rejected: why the item is rejected without an LLM request.
    """

    id: str
    key: str
    content: Any
    prompt: Prompt | None = None
    rejected: str | None = None


@dataclass(frozen=True, slots=True)
class ItemResult:
    """The rows of one item, at least one, each with the item's key, and the tokens that they cost."""

    item: WorkItem
    rows: list[Any]
    prompt_tokens: int = 0
    completion_tokens: int = 0


class ProgressCallback(Protocol):
    """Reports a fit stage's progress; a stage that trains adds its throughput in tokens per second."""

    def __call__(self, unit: str, done: float, total: float, trained_tokens_per_second: float = 0.0, /) -> None: ...


@dataclass
class Context:
    """Everything that a stage is built from. Models are loaded on first use and shared by the stages of a process.

    Attributes:
        config: of the run.
        inputs: the outputs of the stages that this one reads.
        models: identities of the model weights, by role.
        scratch: a local folder for temporary files.
        engine: loads the generator.
        encoder: loads the sentence encoder.
        base: the folder of the base model's weights; frees engine and encoder.
        source: a local copy of the catalog file.
        checkpoints: where the stage keeps its training checkpoints.
        judge: loads the model of a role as a judge.
        check_judge: raises if the judge is not available, without loading it.
        report: reports progress.
        process_group: this process among those that train together; only rank 0 may write to the outputs.
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
        """The identity of a model's weights, which is part of row keys; "" where the role has none."""
        return self.models.get(role, "")


class MapStage(ABC):
    """Creates part k of its table from part k of its inputs.

    `attempts` is the maximum number of attempts for an item; a row rejected after fewer attempts is not reused.
    """

    record: ClassVar[type]
    attempts: int = 1

    @abstractmethod
    def items(self, part: int) -> Iterator[WorkItem]:
        """The work items of one part, in the order in which their rows are written."""

    @abstractmethod
    def rows(self, items: Iterable[WorkItem]) -> Iterator[ItemResult]:
        """The rows of each item, in any order. Consumes `items` lazily."""

    def refresh(self, item: WorkItem, rows: list[Any]) -> list[Any]:
        """The rows that are reused for an item, with the columns updated that its key does not cover."""
        return rows


class FitStage(Protocol):
    """Runs once over whole tables."""

    def run(self, outputs: Outputs) -> None:
        """Write all results to `outputs`."""
        ...
