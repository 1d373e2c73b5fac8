"""The chart and the program agree on the controller's config file, the pods' commands and their environment."""

from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from chart_rendering import EXAMPLES, environment, render

from skutune.cli.app import app
from skutune.cluster.plan import load_controller_file, plan_problems, selected_stages
from skutune.config.load import load_config
from skutune.pipeline.graph import CLUSTER_STAGES

COMMAND: Any = typer.main.get_command(app)


def loaded(example: str, folder: Path, changes: dict[str, Any] | None = None) -> Any:
    path = folder / "controller.yaml"
    path.write_text(render(example, changes).controller_text())
    return load_controller_file(path)


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_controller_reads_the_charts_file(example: str, tmp_path: Path) -> None:
    file = loaded(example, tmp_path)
    assert file.release == "fall"
    assert plan_problems(file.cluster) == []
    assert set(selected_stages(file.cluster)) <= set(file.cluster.stages) == set(CLUSTER_STAGES)


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_config_in_the_values_works_on_a_laptop(example: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(EXAMPLES[example].read_text())["config"]))
    assert load_config(path) == loaded(example, tmp_path).config


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_stage_has_its_podtemplate(example: str, tmp_path: Path) -> None:
    rendered = render(example)
    templates = {item["metadata"]["name"]: item for item in rendered.of("PodTemplate")}
    for name, plan in loaded(example, tmp_path).cluster.stages.items():
        template = templates.pop(plan.template)
        labels = template["template"]["metadata"]["labels"]
        assert labels["skutune.io/stage"] == name
        assert labels["skutune.io/step"] == str(CLUSTER_STAGES[name].step)
        assert [container["name"] for container in template["template"]["spec"]["containers"]] == ["worker"]
        requested = rendered.worker(name)["resources"]["requests"].get("nvidia.com/gpu", "0")
        assert int(requested) == plan.devices
    assert templates == {}


def test_the_role_permits_writing_the_status_config_map(tmp_path: Path) -> None:
    rendered = render()
    name = loaded("8-gpus-one-node", tmp_path).cluster.status_config_map
    assert rendered.one("ConfigMap", "-status")["metadata"]["name"] == name
    assert [name] in [rule.get("resourceNames") for rule in rendered.one("Role")["rules"]]


def worker_arguments(container: dict[str, Any]) -> dict[str, Any]:
    """The parsed arguments of a stage's command, in pod 3 of its Job."""
    variables = {"$(SKUTUNE_TASK)": "s3://b/run/x/f/task-a1.json", "$(JOB_COMPLETION_INDEX)": "3"}
    command = [variables.get(word, word) for word in container["command"]]
    assert command[:2] == ["skutune", "worker"]
    return dict(COMMAND.commands["worker"].make_context("worker", command[2:]).params)


@pytest.mark.parametrize("example", EXAMPLES)
def test_a_stages_command_is_valid_for_the_worker(example: str) -> None:
    rendered = render(example)
    for name, stage in CLUSTER_STAGES.items():
        parsed = worker_arguments(rendered.worker(name))
        assert parsed["task"] == "s3://b/run/x/f/task-a1.json"
        assert parsed["shard"] == (3 if stage.kind == "map" else 0)
        assert (parsed["processes"], parsed["nodes"]) == (1, 1) or name == "finetune"


@pytest.mark.parametrize("example", EXAMPLES)
def test_a_stages_environment_matches_the_workers_options(example: str) -> None:
    known = {param.envvar for param in COMMAND.commands["worker"].params} | {"SKUTUNE_CACHE"}
    for name in CLUSTER_STAGES:
        own = {variable for variable in environment(render(example).worker(name)) if variable.startswith("SKUTUNE_")}
        assert {"SKUTUNE_CACHE", "SKUTUNE_STALL_SECONDS"} <= own <= known


def test_finetune_has_one_process_per_device() -> None:
    parsed = worker_arguments(render().worker("finetune"))
    assert (parsed["processes"], parsed["nodes"], parsed["rendezvous"]) == (8, 1, "")
    alone = render(changes={"stages": {"finetune": {"devices": 1}}})
    assert worker_arguments(alone.worker("finetune"))["processes"] == 1


def test_distributed_finetune_uses_its_first_pod_for_rendezvous() -> None:
    rendered = render("8-gpus-nodes")
    parsed = worker_arguments(rendered.worker("finetune"))
    service = rendered.one("Service")
    assert (parsed["processes"], parsed["nodes"], parsed["node_rank"]) == (2, 4, 3)
    port = service["spec"]["ports"][0]["port"]
    assert parsed["rendezvous"] == f"$(SKUTUNE_JOB)-0.{service['metadata']['name']}:{port}"


def test_a_worker_checks_for_the_devices_of_its_pod() -> None:
    def devices(changes: dict[str, Any]) -> dict[str, str | None]:
        rendered = render(changes=changes)
        return {name: environment(rendered.worker(name)).get("SKUTUNE_DEVICES") for name in CLUSTER_STAGES}

    devices_by_stage = devices({"stages": {"embed": {"devices": 0}}})
    assert (
        devices_by_stage["finetune"],
        devices_by_stage["describe"],
        devices_by_stage["embed"],
        devices_by_stage["ingest"],
    ) == ("8", "1", None, None)
    assert devices({"gpu": {"check": False}})["finetune"] == "0"


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_controllers_command_and_environment_are_complete(example: str, tmp_path: Path) -> None:
    _, pod = next((name, pod) for name, pod in render(example).pods() if name.startswith(("Job", "CronJob")))
    container = pod["spec"]["containers"][0]
    assert container["command"][:2] == ["skutune", "controller"]
    variables = environment(container)
    command = COMMAND.commands["controller"]
    required = {param.envvar for param in command.params if param.required and param.envvar}
    assert required <= set(variables)
    values = [word for param in command.params if param.envvar in required for word in (param.opts[0], "x")]
    parsed = command.make_context("controller", [*container["command"][2:], *values])
    assert str(parsed.params["config_file"]) == "/etc/skutune/controller.yaml"
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts["config"] == "/etc/skutune"


def test_values_reach_the_controllers_plan(tmp_path: Path) -> None:
    changes = {
        "base": "latest",
        "until": "compose",
        "gpu": {"devices": 6, "resource": "amd.com/gpu"},
        "controller": {"graceSeconds": 60, "retrySeconds": 5},
        "defaults": {"attempts": 7, "retries": 0, "queuedSeconds": 11, "shards": 3},
        "stages": {
            "embed": {"startingSeconds": 12, "runningSeconds": 13, "stalledSeconds": 14, "disruptions": 15},
            "describe": {"devices": 2, "shards": 2, "attempts": 1},
        },
    }
    plan = loaded("8-gpus-one-node", tmp_path, changes).cluster
    assert (plan.base, plan.until, plan.devices, plan.resource) == ("latest", "compose", 6, "amd.com/gpu")
    assert (plan.grace_seconds, plan.retry_seconds) == (60, 5)
    embed, describe = plan.stages["embed"], plan.stages["describe"]
    assert (embed.attempts, embed.retries, embed.queued_seconds, embed.shards, embed.devices) == (7, 0, 11, 3, 1)
    assert (embed.starting_seconds, embed.running_seconds, embed.stalled_seconds, embed.disruptions) == (12, 13, 14, 15)
    assert (describe.devices, describe.shards, describe.attempts) == (2, 2, 1)
    assert plan.stages["finetune"].devices == 6


def test_a_stages_zero_overrides_the_default(tmp_path: Path) -> None:
    changes = {"defaults": {"runningSeconds": 3600}, "stages": {"embed": {"runningSeconds": 0, "devices": 0}}}
    plan = loaded("8-gpus-one-node", tmp_path, changes).cluster
    assert (plan.stages["embed"].running_seconds, plan.stages["link"].running_seconds) == (0, 3600)
    assert (plan.stages["embed"].devices, plan.stages["embed"].shards) == (0, 4)


def test_map_stages_have_as_many_pods_as_the_devices_allow(tmp_path: Path) -> None:
    plan = loaded("8-gpus-one-node", tmp_path, {"stages": {"describe": {"devices": 3}}}).cluster
    assert (plan.stages["question"].shards, plan.stages["describe"].shards) == (8, 2)
    assert {plan.stages[name].shards for name, stage in CLUSTER_STAGES.items() if stage.kind == "fit"} == {1}
