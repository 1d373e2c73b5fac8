"""The controller's input from the chart: the run's config, and how each stage runs on the cluster."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError

from skutune.config.schema import Config, Section
from skutune.config.yaml_file import read_document
from skutune.errors import InputError, Problem
from skutune.pipeline.graph import CLUSTER_STAGES, selected


class StagePlan(Section):
    """How one stage runs. All times are in seconds."""

    template: str = Field(min_length=1, description="Name of the stage's PodTemplate.")
    devices: int = Field(0, ge=0, description="Accelerator devices per pod.")
    shards: int = Field(1, ge=1, description="Maximum number of pods; a fit stage has one.")
    nodes: int = Field(1, ge=1, description="Pods of one distributed training (finetune).")
    attempts: int = Field(3, ge=1, description="Maximum number of Jobs (attempts) before the stage fails.")
    retries: int = Field(2, ge=0, description="Pod failures per index before the index fails.")
    queued_seconds: float = Field(21600, ge=0, description="Maximum time until a pod is scheduled.")
    starting_seconds: float = Field(1800, ge=0, description="Maximum time from scheduling to a running container.")
    running_seconds: float = Field(0, ge=0, description="Maximum running time of an attempt; 0: no limit.")
    stalled_seconds: float = Field(7200, ge=0, description="Maximum time without progress; 0: no limit.")
    disruptions: int = Field(20, ge=0, description="Evictions per attempt before the stage fails.")

    @property
    def gang(self) -> int:
        """Number of pods that have to run at the same time (gang scheduling)."""
        return self.nodes


class ClusterPlan(Section):
    """The device budget of a run and the plans of its stages."""

    devices: int = Field(ge=0, description="Devices that the run may hold at any time.")
    resource: str = "nvidia.com/gpu"
    status_config_map: str | None = None
    scheduled: bool = Field(
        False, description="A CronJob started this run: its name includes the Job's, and its base is `latest`."
    )
    base: str | None = Field(None, description="Run whose rows are reused; latest: the last run that passed.")
    until: str | None = Field(None, description="Last stage to run.")
    kueue: bool = Field(False, description="Kueue admits the Jobs: their parallelism is never changed.")
    force_delete: bool = Field(False, description="Force-delete pods on unreachable nodes.")
    unreachable_seconds: float = Field(
        120, ge=0, description="Time after a pod's deletion deadline before its node counts as unreachable."
    )
    grace_seconds: float = Field(180, ge=0, description="Grace period for image, config and admission errors.")
    retry_seconds: float = Field(
        10, ge=0, description="Backoff before the second attempt, doubled for each further one."
    )
    stages: dict[str, StagePlan]


class ControllerFile(Section):
    """The file that `skutune controller -c` reads."""

    release: str = Field(min_length=1, max_length=53)
    config: Config
    cluster: ClusterPlan


def load_controller_file(path: Path) -> ControllerFile:
    """Read and validate the controller's file.

    Raises:
        InputError: it cannot be read, a value is invalid, or its plan cannot run. The error lists all problems.
    """
    document = read_document(path)
    try:
        file = ControllerFile.model_validate(document)
    except ValidationError as error:
        problems = [
            Problem(".".join(str(part) for part in item["loc"]), item["msg"].removeprefix("Value error, "))
            for item in error.errors()
        ]
        raise InputError(f"{path}: invalid controller file; fix the chart's values", problems) from None
    problems = plan_problems(file.cluster)
    if not file.config.store.startswith("s3://"):
        problems.append(
            Problem("config.store", f"is {file.config.store!r}; a cluster needs a store of the form s3://bucket/prefix")
        )
    if problems:
        raise InputError(f"{path}: this plan cannot run; fix the chart's values", problems)
    return file


def selected_stages(plan: ClusterPlan) -> list[str]:
    """The stages of a run in order, `models` first. Raises InputError if `until` is not a stage."""
    return ["models", *(stage.name for stage in selected(plan.until))]


def plan_problems(plan: ClusterPlan) -> list[Problem]:
    """The reasons why a plan cannot run on any cluster."""
    problems = [
        Problem(f"cluster.stages.{name}", f"unknown stage; valid stages: {', '.join(CLUSTER_STAGES)}")
        for name in plan.stages
        if name not in CLUSTER_STAGES
    ]
    for name in selected_stages(plan):
        if name not in plan.stages:
            problems.append(Problem(f"cluster.stages.{name}", "is missing"))
            continue
        stage = plan.stages[name]
        if stage.devices * stage.gang > plan.devices:
            demand = (
                f"{stage.gang} pods with {stage.devices} devices each"
                if stage.gang > 1
                else (f"a pod with {stage.devices} devices")
            )
            problems.append(
                Problem(
                    f"cluster.stages.{name}",
                    f"needs {demand}, but the run's budget is {plan.devices} ({plan.resource}); "
                    f"raise gpu.devices or lower stages.{name}.devices",
                )
            )
        if stage.nodes > 1 and name != "finetune":
            problems.append(Problem(f"cluster.stages.{name}.nodes", "only finetune can use several nodes"))
    return problems
