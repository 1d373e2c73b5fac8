"""Stage registry: build a stage by name, and compute how many items a map stage will process."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, cast

from skutune.config.schema import Config
from skutune.pipeline.manifests import Manifest
from skutune.stages.base import Context, FitStage, MapStage

# stage → (module, class). Imported on demand, because finetune needs torch and ingest must not import it.
_CLASSES = {
    "models": ("models", "Models"),
    "ingest": ("ingest", "Ingest"),
    "describe": ("describe", "Describe"),
    "paraphrase": ("paraphrase", "Paraphrase"),
    "embed": ("embed", "Embed"),
    "classify": ("classify", "Classify"),
    "question": ("question", "Questions"),
    "recommend": ("recommend", "Recommend"),
    "distinct": ("distinct", "Distinct"),
    "expand": ("expand", "Expand"),
    "link": ("link", "Links"),
    "answer": ("answer", "Answers"),
    "compose": ("compose", "Compose"),
    "finetune": ("finetune", "Finetune"),
    "evaluate": ("evaluate", "Evaluate"),
    "report": ("report", "Report"),
}


def build_map(name: str, context: Context) -> MapStage:
    """Build a map stage."""
    if name == "describe" and context.config.stages.describe.method == "template":
        return cast(MapStage, _load("describe", "DescribeByTemplate")(context))
    if name == "paraphrase" and context.config.stages.paraphrase.variants == 0:
        return cast(MapStage, _load("paraphrase", "NoVariants")(context))
    return cast(MapStage, _load(*_CLASSES[name])(context))


def build_fit(name: str, context: Context, buckets: int | None) -> FitStage:
    """Build a fit stage; `buckets` is the number of buckets that an earlier ingest fixed, or None."""
    if name == "ingest":
        return cast(FitStage, _load(*_CLASSES[name])(context, buckets))
    return cast(FitStage, _load(*_CLASSES[name])(context))


def expected_items(name: str, config: Config, inputs: Mapping[str, Manifest]) -> int:
    """How many items a map stage will process, computed from its inputs' manifests."""

    def accepted(stage: str) -> int:
        return inputs[stage].rows() - inputs[stage].rejected()

    counts = {
        "describe": lambda: accepted("ingest"),
        "paraphrase": lambda: accepted("describe") * config.stages.paraphrase.variants,
        "embed": lambda: accepted("ingest") + accepted("describe") + accepted("paraphrase"),
        "question": lambda: accepted("ingest"),
        "recommend": lambda: accepted("question"),
        "expand": lambda: accepted("distinct"),
        "link": lambda: accepted("distinct"),
        "answer": lambda: accepted("recommend"),
    }
    return counts[name]()


def _load(module: str, class_name: str) -> Any:
    return getattr(importlib.import_module(f"skutune.stages.{module}"), class_name)
