"""The stage graph: the inputs of each stage, where it runs, and which settings affect its output.

`STAGES` is in topological order; `reads` determines which stages may run concurrently.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from skutune.config.schema import Config, EvaluateConfig
from skutune.errors import InputError

Role = Literal["generator", "encoder", "base", "judge"]


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage. `step` is the pipeline step that it belongs to; 0 for preparation.

    `map` stages compute part k of their table from part k of their inputs; `fit` stages run once. `buckets` is what
    their parts are bucketed by. `models` and `sections` are the models and further config sections that affect their
    output.
    """

    name: str
    step: int
    kind: Literal["map", "fit"]
    reads: tuple[str, ...] = ()
    buckets: Literal["product", "name", "none"] = "product"
    models: tuple[Role, ...] = ()
    sections: tuple[str, ...] = ()
    image: Literal["controller", "generate", "train"] = "controller"
    title: str = ""


STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage("ingest", 1, "fit", sections=("catalog",), title="read the catalog"),
        Stage("describe", 1, "map", ("ingest",), models=("generator",), image="generate", title="write descriptions"),
        Stage(
            "paraphrase",
            1,
            "map",
            ("ingest", "describe"),
            models=("generator",),
            image="generate",
            title="reword descriptions",
        ),
        Stage(
            "embed",
            2,
            "map",
            ("ingest", "describe", "paraphrase"),
            models=("encoder",),
            image="generate",
            title="encode texts",
        ),
        Stage(
            "classify",
            2,
            "fit",
            ("ingest", "embed"),
            buckets="none",
            models=("encoder",),
            image="train",
            title="train the classifier",
        ),
        Stage("question", 3, "map", ("ingest",), models=("generator",), image="generate", title="ask questions"),
        Stage(
            "recommend",
            3,
            "map",
            ("ingest", "question"),
            models=("generator",),
            image="generate",
            title="recommend",
        ),
        Stage("distinct", 3, "fit", ("recommend",), buckets="name", title="collect distinct names"),
        Stage(
            "expand",
            3,
            "map",
            ("distinct",),
            buckets="name",
            models=("generator",),
            image="generate",
            title="describe the names",
        ),
        Stage(
            "link",
            3,
            "map",
            ("distinct", "expand", "classify"),
            buckets="name",
            models=("encoder",),
            image="generate",
            title="link names to products",
        ),
        Stage(
            "answer",
            3,
            "map",
            ("question", "recommend", "link"),
            models=("generator",),
            image="generate",
            title="write answers",
        ),
        Stage(
            "compose",
            3,
            "fit",
            ("ingest", "describe", "paraphrase", "question", "recommend", "answer"),
            sections=("coverage",),
            title="compose examples",
        ),
        Stage("finetune", 4, "fit", ("compose",), buckets="none", models=("base",), image="train", title="fine-tune"),
        Stage(
            "evaluate",
            4,
            "fit",
            ("ingest", "describe", "classify", "compose", "finetune"),
            buckets="none",
            models=("base", "encoder", "generator", "judge"),
            image="train",
            title="evaluate",
        ),
        Stage(
            "report",
            4,
            "fit",
            (
                "ingest",
                "describe",
                "paraphrase",
                "embed",
                "classify",
                "question",
                "recommend",
                "distinct",
                "expand",
                "link",
                "answer",
                "compose",
                "finetune",
                "evaluate",
            ),
            buckets="none",
            title="write the report",
        ),
    )
}

MODELS = Stage("models", 0, "fit", buckets="none", sections=("models",), title="mirror the models")
"""Runs first, and only on a cluster: mirrors the weights of hub models to the store, from where pods load them."""

CLUSTER_STAGES: dict[str, Stage] = {MODELS.name: MODELS, **STAGES}

# Settings that affect the speed or the location of a model, but not its output. `dtype` is one of them: `auto` chooses
# another format on another processor, and a run that is moved must find its outputs.
_RUNTIME_KEYS = {"name", "revision", "batch_size", "engine", "dtype"}


def stage(name: str) -> Stage:
    """The stage of this name. Raises InputError with all valid names."""
    if name not in STAGES:
        raise InputError(f"no stage {name!r}; valid stages: {', '.join(STAGES)}")
    return STAGES[name]


def selected(until: str | None) -> list[Stage]:
    """`until` and the stages that it depends on, in order; all stages for None."""
    if until is None:
        return list(STAGES.values())
    needed = {stage(until).name}
    for candidate in reversed(STAGES.values()):
        if candidate.name in needed:
            needed.update(candidate.reads)
    return [candidate for candidate in STAGES.values() if candidate.name in needed]


def downstream(names: Iterable[str]) -> set[str]:
    """These stages and all stages that depend on them."""
    reached = set(names)
    for candidate in STAGES.values():
        if reached.intersection(candidate.reads):
            reached.add(candidate.name)
    return reached


def settings(stage_: Stage, config: Config) -> dict[str, Any]:
    """The part of the config that affects the output of a stage."""
    relevant: dict[str, Any] = {"stage": _own_settings(stage_.name, config)}
    for section in stage_.sections:
        relevant[section] = getattr(config, section).model_dump(mode="json", exclude={"source"})
    for role in models_of(stage_, config):
        relevant[role] = getattr(config.models, role).model_dump(mode="json", exclude=_RUNTIME_KEYS)
    return relevant


def models_of(stage_: Stage, config: Config) -> tuple[Role, ...]:
    """The models that a stage uses with this config; for example, template descriptions use none."""
    if stage_.name == "describe" and config.stages.describe.method == "template":
        return ()
    if stage_.name == "paraphrase" and config.stages.paraphrase.variants == 0:
        return ()
    if stage_.name == "evaluate":
        return _models_of_evaluation(config.stages.evaluate)
    return stage_.models


def _models_of_evaluation(evaluate: EvaluateConfig) -> tuple[Role, ...]:
    by_vector = "retrieval" in evaluate.systems and evaluate.retrieval == "encoder"
    encoder: tuple[Role, ...] = ("encoder",) if by_vector or any("linked" in each for each in evaluate.systems) else ()
    return ("base", *encoder, *(() if evaluate.judge.model == "none" else (evaluate.judge.model,)))


def _own_settings(name: str, config: Config) -> dict[str, Any]:
    section = getattr(config.stages, name, None)  # the models stage has no section
    if section is None:
        return {}
    # The content of the labels file is in the fingerprint, not its path; `min_kept` changes no row.
    excluded: Any = {"judge": {"labels"}} if name == "evaluate" else {"min_kept"}
    settings: dict[str, Any] = section.model_dump(mode="json", exclude=excluded)
    return settings
