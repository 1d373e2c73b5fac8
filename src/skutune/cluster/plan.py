"""What the chart tells the controller: the run's config, and how each stage is placed on the cluster."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError

from skutune.config.schema import Config, Section
from skutune.config.yaml_file import read_document
from skutune.errors import InputError, Problem
from skutune.pipeline.graph import CLUSTER_STAGES, selected


class StagePlan(Section):
    """How one stage runs. Times are in seconds."""

    template: str = Field(min_length=1, description="Name of the PodTemplate that its pods are made from.")
    devices: int = Field(0, ge=0, description="Accelerator devices of one pod.")
    shards: int = Field(1, ge=1, description="Pods at most; a fit stage has one task.")
    nodes: int = Field(1, ge=1, description="Pods that train together (finetune).")
    attempts: int = Field(3, ge=1, description="Jobs before the stage fails for good.")
    retries: int = Field(2, ge=0, description="Pods that may fail for each index of a Job before the index does.")
    queued_seconds: float = Field(21600, ge=0, description="Longest wait for a place on a node.")
    starting_seconds: float = Field(1800, ge=0, description="Longest time from a place on a node to a running program.")
    running_seconds: float = Field(0, ge=0, description="Longest time that an attempt runs; 0: no limit.")
    stalled_seconds: float = Field(7200, ge=0, description="Longest time without progress; 0: no limit.")
    disruptions: int = Field(20, ge=0, description="Evictions of an attempt's pods before the stage fails.")

    @property
    def gang(self) -> int:
        """Pods that make sense only together."""
        return self.nodes


class ClusterPlan(Section):
    """The devices of a run, and its stages' plans."""

    devices: int = Field(ge=0, description="Devices that the run may hold at the same time.")
    resource: str = "nvidia.com/gpu"
    status_config_map: str | None = None
    scheduled: bool = Field(
        False, description="A CronJob's run: its name is made from the Job's, its base is `latest`."
    )
    base: str | None = Field(None, description="Run whose rows are taken over; latest: the last that finished.")
    until: str | None = Field(None, description="Last stage.")
    kueue: bool = Field(False, description="Kueue admits the Jobs: their parallelism is never touched.")
    force_delete: bool = Field(False, description="Delete pods of unreachable nodes by force.")
    unreachable_seconds: float = Field(120, ge=0, description="A pod that ends for so long has lost its node.")
    grace_seconds: float = Field(180, ge=0, description="How long an error of image, config or admission may heal.")
    retry_seconds: float = Field(10, ge=0, description="Wait before a second attempt; doubled for each further one.")
    stages: dict[str, StagePlan]


class ControllerFile(Section):
    """The file that `skutune controller -c` reads."""

    release: str = Field(min_length=1, max_length=53)
    config: Config
    cluster: ClusterPlan


def load_controller_file(path: Path) -> ControllerFile:
    """Read and check the controller's file.

    Raises:
        InputError: it cannot be read, a value is wrong, or its plan cannot be run; all problems are named together.
    """
    document = read_document(path)
    try:
        file = ControllerFile.model_validate(document)
    except ValidationError as error:
        problems = [
            Problem(".".join(str(part) for part in item["loc"]), item["msg"].removeprefix("Value error, "))
            for item in error.errors()
        ]
        raise InputError(f"{path}: the controller's file cannot be used; change the chart's values", problems) from None
    problems = plan_problems(file.cluster)
    if not file.config.store.startswith("s3://"):
        problems.append(Problem("config.store", f"is {file.config.store!r}; pods need a store at s3://bucket/prefix"))
    if problems:
        raise InputError(f"{path}: this plan cannot run; change the chart's values", problems)
    return file


def wanted_stages(plan: ClusterPlan) -> list[str]:
    """The stages of a run in order, `models` first. Raises InputError where `until` names none."""
    return ["models", *(stage.name for stage in selected(plan.until))]


def plan_problems(plan: ClusterPlan) -> list[Problem]:
    """What makes a plan impossible, whatever the cluster."""
    problems = [
        Problem(f"cluster.stages.{name}", f"is no stage; the stages are: {', '.join(CLUSTER_STAGES)}")
        for name in plan.stages
        if name not in CLUSTER_STAGES
    ]
    for name in wanted_stages(plan):
        if name not in plan.stages:
            problems.append(Problem(f"cluster.stages.{name}", "is missing"))
            continue
        stage = plan.stages[name]
        if stage.devices * stage.gang > plan.devices:
            together = (
                f"{stage.gang} pods with {stage.devices} devices each"
                if stage.gang > 1
                else (f"a pod with {stage.devices} devices")
            )
            problems.append(
                Problem(
                    f"cluster.stages.{name}",
                    f"needs {together}, but the run may hold {plan.devices} ({plan.resource}); "
                    f"raise gpu.devices or lower stages.{name}.devices",
                )
            )
        if stage.nodes > 1 and name != "finetune":
            problems.append(Problem(f"cluster.stages.{name}.nodes", "only finetune runs on several nodes"))
    return problems
