"""Names of objects, and upgrades: a no-op without changes, a new Job with changes."""

import re
from typing import Any

import pytest
from chart_rendering import EXAMPLES, HELMS, Rendered, environment, render

LONGEST = "a-release-whose-name-has-exactly-fifty-three-letters0"
PODTEMPLATE_LENGTH = 253  # not used as a label
LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def job(changes: dict[str, Any] | None = None, **options: str) -> str:
    return str(render(changes=changes, **options).one("Job")["metadata"]["name"])


@pytest.mark.parametrize("release", ["f", LONGEST, LONGEST.replace("release", "skutune")])
@pytest.mark.parametrize("example", ["8-gpus-nodes", "kueue"])
def test_every_name_fits_into_a_label_for_any_release_name(example: str, release: str) -> None:
    assert len(LONGEST) == 53
    rendered = render(example, release=release)
    for item in rendered:
        name = item["metadata"]["name"]
        assert len(name) <= PODTEMPLATE_LENGTH if item["kind"] == "PodTemplate" else LABEL.fullmatch(name), name
    for cron in rendered.of("CronJob"):
        assert len(cron["metadata"]["name"]) <= 52
    for labels in (item["metadata"]["labels"].values() for item in rendered):
        assert all(len(value) <= 63 for value in labels)


def test_a_release_name_with_skutune_is_not_prefixed_again() -> None:
    assert render(release="my-skutune").one("ServiceAccount", "-stages")["metadata"]["name"] == "my-skutune-stages"


def test_truncated_names_stay_distinct() -> None:
    first, second = (render(release=LONGEST[:-1] + end).one("ConfigMap", "-status") for end in "12")
    assert first["metadata"]["name"] != second["metadata"]["name"]


@pytest.mark.parametrize("example", EXAMPLES)
def test_two_releases_in_one_namespace_share_no_name(example: str) -> None:
    def names(release: str) -> set[tuple[str, str]]:
        return {(item["kind"], item["metadata"]["name"]) for item in render(example, release=release)}

    assert not names("fall") & names("spring")


@pytest.mark.parametrize("example", EXAMPLES)
def test_selectors_match_only_pods_of_their_release(example: str) -> None:
    rendered = render(example)
    selectors = [policy["spec"]["podSelector"]["matchLabels"] for policy in rendered.of("NetworkPolicy")]
    selectors += [service["spec"]["selector"] for service in rendered.of("Service")]
    assert selectors
    for selector in selectors:
        assert selector["app.kubernetes.io/instance"] == "fall"
        assert any(selector.items() <= pod["metadata"]["labels"].items() for _, pod in rendered.pods())


def test_every_object_has_the_releases_labels_and_namespace() -> None:
    for item in render():
        labels = item["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == "skutune"
        assert labels["app.kubernetes.io/instance"] == "fall"
        assert labels["app.kubernetes.io/managed-by"] == "Helm"
        assert item["metadata"]["namespace"] == "team"


def test_the_jobs_name_does_not_depend_on_the_helm_version() -> None:
    assert {job(example=name, helm=helm) for name in ("air-gapped", "8-gpus-nodes") for helm in HELMS} == {
        job(example="air-gapped"),
        job(example="8-gpus-nodes"),
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"rerun": 1},
        {"config": {"stages": {"paraphrase": {"variants": 3}}}},
        {"config": {"coverage": {"min_examples": 20}}},
        {"gpu": {"devices": 16}},
        {"stages": {"embed": {"resources": {"requests": {"cpu": "3"}}}}},
        {"stages": {"embed": {"shards": 2}}},
        {"images": {"train": {"tag": "0.1.1"}}},
        {"images": {"controller": {"tag": "0.1.1"}}},
        {"controller": {"resources": {"limits": {"memory": "1Gi"}}}},
        {"store": {"region": "eu-west-1"}},
        {"kueue": {"queueName": "team"}},
        {"base": "grocery-before"},
        {"until": "compose"},
    ],
    ids=str,
)
def test_a_change_of_its_inputs_renames_the_controllers_job(changes: dict[str, Any]) -> None:
    """Jobs are immutable: helm deletes the Job of the old name, with all it owns, and creates one of the new name."""
    assert job(changes) != job()


@pytest.mark.parametrize(
    "changes",
    [
        {"networkPolicy": {"enabled": False}},
        {"serviceAccounts": {"stages": {"annotations": {"a": "b"}}}},
        {"rerun": 0, "gpu": {"devices": 8}},
    ],
    ids=str,
)
def test_a_change_of_other_values_does_not_change_the_job(changes: dict[str, Any]) -> None:
    assert render(changes=changes).one("Job") == render().one("Job")


def test_only_a_changed_podtemplate_is_renamed() -> None:
    """helm updates Jobs before PodTemplates: a controller that starts in between must not read an outdated one."""
    more = render(changes={"stages": {"embed": {"resources": {"requests": {"cpu": "3"}}}}})
    names = {item["metadata"]["name"] for item in render().of("PodTemplate")}
    changed = [item["metadata"]["name"] for item in more.of("PodTemplate") if item["metadata"]["name"] not in names]
    assert [re.sub("-[0-9a-f]{8}$", "", name) for name in changed] == ["fall-skutune-embed"]
    queued = {item["metadata"]["name"] for item in render(changes={"kueue": {"queueName": "q"}}).of("PodTemplate")}
    assert not names & queued


def test_the_controllers_job_has_no_ttl() -> None:
    """It owns the stage Jobs, which would be deleted with it."""
    assert "ttlSecondsAfterFinished" not in render().one("Job")["spec"]


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_status_config_map_is_rendered_without_data(example: str) -> None:
    status = render(example).one("ConfigMap", "-status")
    assert set(status) == {"apiVersion", "kind", "metadata"}


def test_the_test_hooks_pod_is_always_deleted() -> None:
    hooks = [item for item in render() if "helm.sh/hook" in item["metadata"].get("annotations", {})]
    assert [item["kind"] for item in hooks] == ["Pod"]
    policy = set(hooks[0]["metadata"]["annotations"]["helm.sh/hook-delete-policy"].split(","))
    assert policy == {"before-hook-creation", "hook-succeeded", "hook-failed"}


def test_the_test_hook_accesses_the_store_like_a_stage() -> None:
    rendered = render()
    pod = rendered.one("Pod")
    container, stage = pod["spec"]["containers"][0], rendered.worker("ingest")
    assert container["command"][-1] == rendered.controller_file()["config"]["store"]
    compile(container["command"][2], "hook", "exec")
    shared = {name for name in environment(stage) if name.startswith("AWS_")}
    assert {name: environment(container)[name] for name in shared} == {n: environment(stage)[n] for n in shared}
    assert pod["spec"]["serviceAccountName"] == rendered.stage("ingest")["template"]["spec"]["serviceAccountName"]


def test_a_schedule_renders_a_cronjob_instead_of_a_job() -> None:
    rendered = render("kueue", {"schedule": {"suspend": True}})
    cron = rendered.one("CronJob")["spec"]
    assert rendered.of("Job") == []
    assert (cron["schedule"], cron["timeZone"], cron["suspend"]) == ("0 3 * * *", "Europe/Berlin", True)
    assert cron["concurrencyPolicy"] == "Forbid"
    assert "ttlSecondsAfterFinished" not in cron["jobTemplate"]["spec"]
    assert rendered.controller_file()["cluster"]["scheduled"] is True
    assert render().controller_file()["cluster"]["scheduled"] is False


def test_the_controllers_pod_failure_policy_ignores_evictions_and_fails_on_exit_codes() -> None:
    for spec in (render().one("Job")["spec"], render("kueue").one("CronJob")["spec"]["jobTemplate"]["spec"]):
        rules = spec["podFailurePolicy"]["rules"]
        assert [rule["action"] for rule in rules] == ["Ignore", "Ignore", "FailJob"]
        assert rules[0]["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
        assert rules[1]["onExitCodes"]["values"] == [143]
        assert rules[2]["onExitCodes"]["values"] == [10, 20, 75, 76]
        assert {rule["onExitCodes"]["containerName"] for rule in rules[1:]} == {"controller"}
        assert (spec["backoffLimit"], spec["podReplacementPolicy"]) == (3, "Failed")


def test_large_integers_are_not_rendered_as_floats() -> None:
    changes = {
        "rerun": 20261122,
        "config": {"catalog": {"max_rejects": 1000000}, "stages": {"finetune": {"seed": 123456789012}}},
        "defaults": {"runningSeconds": 1000000, "terminationGracePeriodSeconds": 2000000},
    }
    for helm in HELMS:
        rendered: Rendered = render(changes=changes, helm=helm)
        file = rendered.controller_file()
        assert file["config"]["catalog"]["max_rejects"] == 1000000
        assert file["config"]["stages"]["finetune"]["seed"] == 123456789012
        assert file["cluster"]["stages"]["embed"]["running_seconds"] == 1000000
        assert "e+" not in rendered.controller_text()
        assert rendered.stage("embed")["template"]["spec"]["terminationGracePeriodSeconds"] == 2000000
        assert rendered.one("Job")["metadata"]["annotations"]["skutune.io/rerun"] == "20261122"


def test_strings_that_yaml_could_misread_stay_strings() -> None:
    """Catalog columns may have any name, and helm's YAML differs from the version that Python's parser implements."""
    names = ["on", "y", "1_000", "12:30", "010", "0o17", "0x1F", "1e3", "1.", ".5", "+1", "~", "null", "2024-01-01"]
    names += [
        "a: b",
        "#x",
        "=",
        "<<",
        "é",
        "",
        " x ",
        "line\nbreak",
        "'",
        '"',
        "{{ .Values }}",
        "1e+06",
        ".inf",
        "!tag",
    ]
    columns = {"id": "no", "name": "{yes}", "attributes": names}
    for helm in HELMS:
        file = render(changes={"config": {"catalog": {"columns": columns}}}, helm=helm).controller_file()
        assert file["config"]["catalog"]["columns"] == columns
