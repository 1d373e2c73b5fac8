"""The Jobs that the controller builds from the chart's PodTemplates are valid for every supported Kubernetes."""

from typing import Any

import pytest
import yaml
from chart_rendering import EXAMPLES, Rendered, environment, render
from kubernetes_schemas import NEWEST, OLDEST, violations

from skutune.cluster.kube.jobs import ControllerRef, build_job
from skutune.cluster.plan import ControllerFile
from skutune.pipeline.graph import CLUSTER_STAGES
from skutune.pipeline.manifests import Task

CONTROLLER = ControllerRef("team", "fall", "fall-skutune-0123456789", "a-uid")


def build(rendered: Rendered, stage: str, avoid: tuple[str, ...] = ()) -> dict[str, Any]:
    """The Job of a stage's first attempt, with one part per shard."""
    file = ControllerFile.model_validate(yaml.safe_load(rendered.controller_text()))
    plan = file.cluster.stages[stage]
    shards = tuple((part,) for part in range(plan.shards))
    task = Task("grocery", stage, "f" * 16, 1, {}, {}, (), plan.shards, shards, {})
    address = f"{file.config.store}/{task.key}"
    return build_job(
        rendered.stage(stage)["template"], task, address, plan, len(shards), avoid, CONTROLLER, file.config.store
    )


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("example", EXAMPLES)
def test_the_jobs_of_every_stage_are_valid(example: str, version: str) -> None:
    rendered = render(example)
    for stage in CLUSTER_STAGES:
        assert violations(build(rendered, stage, avoid=("node-3",)), version) == []


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_task_variables_come_first(example: str) -> None:
    rendered = render(example)
    for stage in CLUSTER_STAGES:
        container = build(rendered, stage)["spec"]["template"]["spec"]["containers"][0]
        names = [entry["name"] for entry in container["env"]]
        assert names[:2] == ["SKUTUNE_TASK", "SKUTUNE_JOB"]
        assert len(names) == len(set(names))
        assert environment(container)["SKUTUNE_TASK"].startswith("s3://")
        assert "$(SKUTUNE_TASK)" in container["command"]


@pytest.mark.parametrize("example", EXAMPLES)
def test_only_jobs_have_the_kueue_label_not_their_pods(example: str) -> None:
    job = build(render(example), "describe")
    queue = "team-search" if example == "kueue" else None
    assert job["metadata"]["labels"].get("kueue.x-k8s.io/queue-name") == queue
    assert "kueue.x-k8s.io/queue-name" not in job["spec"]["template"]["metadata"]["labels"]


def test_the_rendezvous_address_resolves_to_the_first_pod() -> None:
    """Kubernetes names pod i of an Indexed Job `<job>-<i>` in the domain of the Service."""
    rendered = render("8-gpus-nodes")
    job = build(rendered, "finetune")
    assert job["spec"]["completions"] == 4
    labels = job["spec"]["template"]["metadata"]["labels"]
    service = rendered.one("Service")
    assert service["spec"]["selector"].items() <= labels.items()
    command = job["spec"]["template"]["spec"]["containers"][0]["command"]
    first = command[command.index("--rendezvous") + 1].replace("$(SKUTUNE_JOB)", job["metadata"]["name"])
    assert first == f"{job['metadata']['name']}-0.{service['metadata']['name']}:29500"


def test_the_network_policies_select_the_jobs_pods() -> None:
    rendered = render("8-gpus-nodes")
    for policy, stage in (("stage", "describe"), ("finetune", "finetune"), ("hub", "models")):
        labels = build(rendered, stage)["spec"]["template"]["metadata"]["labels"]
        selector = rendered.one("NetworkPolicy", f"-{policy}")["spec"]["podSelector"]["matchLabels"]
        assert selector.items() <= labels.items()
