"""Values models of the stages: the defaults of all stages, and the overrides per stage.

A setting is taken from `stages.<name>`, else from `defaults`, else from the table in `default_resources`.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.alias_generators import to_camel

from skutune.pipeline.graph import CLUSTER_STAGES


class ValuesModel(BaseModel):
    """A section of the values. Keys are camelCase in YAML; unknown keys are rejected."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)


class RetryLimits(ValuesModel):
    """Retry limits and timeouts of a stage."""

    attempts: int = Field(3, ge=1, description="Maximum number of attempts (Jobs) before the stage fails.")
    retries: int = Field(2, ge=0, description="Pod failures per Job index before the index fails.")
    disruptions: int = Field(20, ge=0, description="Pod evictions per attempt before the stage fails.")
    queued_seconds: int = Field(
        21600, ge=0, description="Timeout for pods that are unschedulable, over quota or not admitted by Kueue."
    )
    starting_seconds: int = Field(
        1800, ge=0, description="Timeout from scheduling to a running container, including the image pull."
    )
    running_seconds: int = Field(0, ge=0, description="Maximum running time of an attempt. 0: no limit.")
    stalled_seconds: int = Field(
        7200, ge=0, description="Maximum time without progress in the store before the attempt is ended. 0: no limit."
    )
    watchdog_seconds: int = Field(
        600, ge=0, description="Maximum time without progress before a worker exits and is replaced. 0: no limit."
    )


class Pods(ValuesModel):
    """Resources and placement of a stage's pods."""

    resources: dict[str, Any] = Field(
        {}, description="Requests and limits, merged over the stage's defaults. Set devices with `devices`, not here."
    )
    node_selector: dict[str, str] = Field({}, description="Node selector.")
    tolerations: list[dict[str, Any]] = Field([], description="Tolerations.")
    affinity: dict[str, Any] = Field({}, description="Affinity.")
    termination_grace_period_seconds: int = Field(120, ge=1, description="Grace period after SIGTERM.")
    priority_class_name: str = Field("", description="PriorityClass. Empty: the release's.")
    pod_annotations: dict[str, str] = Field({}, description="Additional annotations.")
    extra_env: list[dict[str, Any]] = Field([], description="Additional environment variables.")
    extra_volumes: list[dict[str, Any]] = Field([], description="Additional volumes.")
    extra_volume_mounts: list[dict[str, Any]] = Field([], description="Additional volume mounts.")


class Defaults(RetryLimits, Pods):
    """Settings of all stages, unless a stage overrides them."""

    shards: int | None = Field(
        None,
        ge=1,
        description="Maximum pods of a map stage. Default: gpu.devices divided by the devices per pod; 4 on CPUs.",
    )


def _optional(source: type[ValuesModel]) -> dict[str, Any]:
    """The fields of a section with the default None: an unset field is taken from `defaults`."""
    fields: dict[str, Any] = {}
    for name, field in source.model_fields.items():
        annotation: Any = field.annotation
        fields[name] = (annotation | None, Field(None, description=field.description, **_limits(field.metadata)))
    return fields


def _limits(metadata: list[Any]) -> dict[str, Any]:
    return {
        key: value for limit in metadata for key in ("ge", "le") if (value := getattr(limit, key, None)) is not None
    }


@cache
def _stage_model(loads_models: bool, is_map: bool, is_distributed: bool) -> type[ValuesModel]:
    """The settings of one kind of stage: `devices` if it loads models, `shards` if it is a map stage."""
    fields = _optional(RetryLimits) | _optional(Pods)
    if loads_models:
        fields["devices"] = (int | None, Field(None, ge=0, description="Devices per pod."))
        fields["shm_size"] = (str | None, Field(None, description="Size of /dev/shm. Default: shm.size."))
    if is_map:
        fields["shards"] = (int | None, Field(None, ge=1, description="Maximum number of pods."))
    if is_distributed:
        fields["nodes"] = (
            int | None,
            Field(
                None, ge=1, description="Pods of one distributed training, each with `devices` devices (finetune only)."
            ),
        )
    kinds = {"Gpu": loads_models, "Map": is_map, "Gang": is_distributed}
    name = "".join(kind for kind, applies in kinds.items() if applies) + "Stage"
    return create_model(name, __base__=ValuesModel, __doc__="Overrides of one stage.", **fields)


STAGE_MODELS: dict[str, type[ValuesModel]] = {
    name: _stage_model(stage.image != "controller", stage.kind == "map", name == "finetune")
    for name, stage in CLUSTER_STAGES.items()
}

_STAGE_FIELDS: dict[str, Any] = {
    name: (model, Field(model(), description=CLUSTER_STAGES[name].title)) for name, model in STAGE_MODELS.items()
}
StagesValues: type[ValuesModel] = create_model(
    "StagesValues", __base__=ValuesModel, __doc__="Overrides per stage.", **_STAGE_FIELDS
)
