"""The chart's values for stages: what every stage has, and what one of them may say otherwise.

A stage takes a setting from `stages.<name>`, else from `defaults`, else from the table in `default_resources`.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.alias_generators import to_camel

from skutune.pipeline.graph import CLUSTER_STAGES


class ValuesModel(BaseModel):
    """A part of the values: camelCase outside, strict about its keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)


class RetryLimits(ValuesModel):
    """How often a stage is tried, and how long it may take."""

    attempts: int = Field(3, ge=1, description="Jobs before the stage fails.")
    retries: int = Field(2, ge=0, description="Pods that may fail for each index of a Job before the index does.")
    disruptions: int = Field(20, ge=0, description="Evictions of one attempt's pods before the stage fails.")
    queued_seconds: int = Field(
        21600, ge=0, description="Longest wait for a place: unschedulable, over quota, not admitted by Kueue."
    )
    starting_seconds: int = Field(
        1800, ge=0, description="Longest time from a place on a node to a running program: images are large."
    )
    running_seconds: int = Field(0, ge=0, description="Longest time that an attempt runs. 0: no limit.")
    stalled_seconds: int = Field(
        7200, ge=0, description="Longest time without progress in the store before the attempt is ended. 0: no limit."
    )
    watchdog_seconds: int = Field(
        600, ge=0, description="Longest time without progress before a worker ends itself and is replaced. 0: never."
    )


class Pods(ValuesModel):
    """What a stage's pods ask of the cluster."""

    resources: dict[str, Any] = Field(
        {}, description="Requests and limits, merged over the stage's own. Devices are not written here."
    )
    node_selector: dict[str, str] = Field({}, description="Labels of the nodes.")
    tolerations: list[dict[str, Any]] = Field([], description="Tolerations.")
    affinity: dict[str, Any] = Field({}, description="Affinity.")
    termination_grace_period_seconds: int = Field(120, ge=1, description="Time to finish when told to stop.")
    priority_class_name: str = Field("", description="PriorityClass; empty: the release's.")
    pod_annotations: dict[str, str] = Field({}, description="Further annotations.")
    extra_env: list[dict[str, Any]] = Field([], description="Further environment variables.")
    extra_volumes: list[dict[str, Any]] = Field([], description="Further volumes.")
    extra_volume_mounts: list[dict[str, Any]] = Field([], description="Further volume mounts.")


class Defaults(RetryLimits, Pods):
    """What every stage has unless it says otherwise."""

    shards: int | None = Field(
        None,
        ge=1,
        description="Pods of a map stage at most. Default: gpu.devices over the devices of a pod; 4 without devices.",
    )


def _optional(source: type[ValuesModel]) -> dict[str, Any]:
    """The fields of a part, each with nothing as its default: what is not said is taken from `defaults`."""
    fields: dict[str, Any] = {}
    for name, field in source.model_fields.items():
        kind: Any = field.annotation
        fields[name] = (kind | None, Field(None, description=field.description, **_limits(field.metadata)))
    return fields


def _limits(metadata: list[Any]) -> dict[str, Any]:
    return {
        key: value for limit in metadata for key in ("ge", "le") if (value := getattr(limit, key, None)) is not None
    }


@cache
def _stage_model(loads_models: bool, is_map: bool, trains_together: bool) -> type[ValuesModel]:
    """The settings of stages of a kind: devices where a program can use them, shards where the work is dealt out."""
    fields = _optional(RetryLimits) | _optional(Pods)
    if loads_models:
        fields["devices"] = (int | None, Field(None, ge=0, description="Devices of one pod."))
        fields["shm_size"] = (str | None, Field(None, description="Size of /dev/shm; default: shm.size."))
    if is_map:
        fields["shards"] = (int | None, Field(None, ge=1, description="Pods at most."))
    if trains_together:
        fields["nodes"] = (
            int | None,
            Field(None, ge=1, description="Pods that train together, each with its devices."),
        )
    kinds = {"Gpu": loads_models, "Map": is_map, "Gang": trains_together}
    name = "".join(kind for kind, holds in kinds.items() if holds) + "Stage"
    return create_model(name, __base__=ValuesModel, __doc__="What one stage has otherwise.", **fields)


STAGE_MODELS: dict[str, type[ValuesModel]] = {
    name: _stage_model(stage.image != "controller", stage.kind == "map", name == "finetune")
    for name, stage in CLUSTER_STAGES.items()
}

_STAGE_FIELDS: dict[str, Any] = {
    name: (model, Field(model(), description=CLUSTER_STAGES[name].title)) for name, model in STAGE_MODELS.items()
}
StagesValues: type[ValuesModel] = create_model(
    "StagesValues", __base__=ValuesModel, __doc__="What single stages have otherwise.", **_STAGE_FIELDS
)
