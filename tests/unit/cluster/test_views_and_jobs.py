"""Views of API objects, and the Jobs built from PodTemplates."""

from __future__ import annotations

import json
from typing import Any

import pytest

from skutune.cluster.kube import names
from skutune.cluster.kube.jobs import ControllerRef, build_job
from skutune.cluster.kube.views import job_view, pod_view
from skutune.cluster.plan import StagePlan
from skutune.cluster.status import CONFIG_MAP_BYTES, _truncated, summary
from skutune.errors import InputError
from skutune.pipeline.manifests import Task

CONTROLLER = ControllerRef("shop", "fall-catalog", "fall-catalog-skutune-abc", "uid-1")
TEMPLATE: dict[str, Any] = {
    "metadata": {"labels": {"tier": "batch", "kueue.x-k8s.io/queue-name": "gpus"}, "annotations": {"a": "1"}},
    "spec": {
        "restartPolicy": "Never",
        "containers": [{"name": "worker", "image": "x", "env": [{"name": "HOME", "value": "/tmp"}]}],
    },
}


def task(stage: str = "describe", shards: int = 3, run: str = "grocery") -> Task:
    return Task(run, stage, "f" * 16, 2, {}, {}, (), 3, tuple((i,) for i in range(shards)), {})


def job(**changes: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "template": TEMPLATE,
        "task": task(),
        "task_uri": "s3://b/r/describe/f/task-a2.json",
        "plan": StagePlan(template="t", devices=1, shards=3),
        "parallelism": 2,
        "avoid": (),
        "controller": CONTROLLER,
        "store_uri": "s3://b",
    }
    return build_job(**(arguments | changes))


def test_a_job_has_one_index_per_shard_and_is_owned_by_the_controller() -> None:
    body = job()
    spec, meta = body["spec"], body["metadata"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 3, 2)
    assert spec["podReplacementPolicy"] == "Failed"
    (owner,) = meta["ownerReferences"]
    assert owner["uid"] == "uid-1"
    assert owner["controller"] is False
    assert "blockOwnerDeletion" not in owner
    assert "ttlSecondsAfterFinished" not in spec


def test_the_pod_failure_policy_checks_for_evictions_before_exit_codes() -> None:
    rules = job()["spec"]["podFailurePolicy"]["rules"]
    assert [rule["action"] for rule in rules] == ["Ignore", "Ignore", "FailJob", "FailIndex"]
    assert rules[0]["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    assert [rule["onExitCodes"]["values"] for rule in rules[1:]] == [[143], [10], [20, 76, 137]]


def test_the_task_variables_precede_the_templates_own_environment() -> None:
    (worker,) = job()["spec"]["template"]["spec"]["containers"]
    assert [each["name"] for each in worker["env"]] == ["SKUTUNE_TASK", "SKUTUNE_JOB", "HOME"]
    assert worker["env"][1]["value"] == job()["metadata"]["name"]
    assert len(TEMPLATE["spec"]["containers"][0]["env"]) == 1, "the template itself was changed"


def test_the_kueue_label_is_on_the_job_but_not_on_its_pods() -> None:
    body = job()
    assert body["metadata"]["labels"][names.QUEUE_NAME] == "gpus"
    labels = body["spec"]["template"]["metadata"]["labels"]
    assert names.QUEUE_NAME not in labels
    assert (labels["tier"], labels[names.STAGE], labels[names.ATTEMPT]) == ("batch", "describe", "2")


def test_avoided_nodes_are_excluded_in_every_node_selector_term() -> None:
    terms = [{"matchExpressions": [{"key": "gpu", "operator": "In", "values": [kind]}]} for kind in ("a", "b")]
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}
    template = {**TEMPLATE, "spec": {**TEMPLATE["spec"], "affinity": affinity}}
    affinity = job(template=template, avoid=("n1", "n2"))["spec"]["template"]["spec"]["affinity"]["nodeAffinity"]
    for term in affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]:
        assert term["matchExpressions"]
        assert [each["values"] for each in term["matchFields"]] == [["n1"], ["n2"]]


def test_without_affinity_the_only_term_excludes_the_avoided_nodes() -> None:
    affinity = job(avoid=("n1",))["spec"]["template"]["spec"]["affinity"]["nodeAffinity"]
    (term,) = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert term == {"matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["n1"]}]}


def test_a_distributed_training_has_one_index_per_node() -> None:
    plan = StagePlan(template="t", devices=8, nodes=4)
    body = job(task=task("finetune", 1), plan=plan, parallelism=4)
    assert body["spec"]["completions"] == 4
    assert body["spec"]["maxFailedIndexes"] == 0
    assert body["spec"]["backoffLimitPerIndex"] == plan.retries + plan.disruptions


def test_the_spec_hash_ignores_the_parallelism() -> None:
    def spec_hash(**changes: Any) -> str:
        return str(job(**changes)["metadata"]["annotations"][names.SPEC_HASH])

    assert spec_hash(parallelism=1) == spec_hash(parallelism=3)
    assert spec_hash(avoid=("n1",)) != spec_hash()


def test_a_template_without_worker_container_is_rejected() -> None:
    with pytest.raises(InputError, match="no container 'worker'"):
        job(template={"spec": {"containers": [{"name": "other"}]}})


@pytest.mark.parametrize("run", ["g", "a" * 53, "a" * 30 + "-" + "b" * 22])
def test_job_names_leave_room_for_an_index_in_the_hostname(run: str) -> None:
    name = names.job_name("ns", "r" * 53, "s3://b", run, "paraphrase", "f" * 16, 12)
    assert len(f"{name}-9999") <= 63
    assert name.endswith("-a12")
    assert "--" not in name


def test_job_names_differ_by_release_store_and_fingerprint() -> None:
    def name(release: str = "one", store: str = "s3://b", fingerprint: str = "f") -> str:
        return names.job_name("ns", release, store, "grocery", "describe", fingerprint, 1)

    assert len({name(), name(release="two"), name(store="s3://c"), name(fingerprint="g")}) == 4


def test_the_name_of_a_scheduled_run_contains_its_job_and_fits() -> None:
    assert names.scheduled_run("grocery", "nightly-29391840") == "grocery-nightly-29391840"
    long = [names.scheduled_run("g" * 40, f"nightly-skutune-2939184{i}") for i in range(3)]
    assert len(set(long)) == 3
    assert all(len(name) <= 53 for name in long)


def test_a_job_view_has_the_fields_that_decisions_need() -> None:
    body = job()
    body["metadata"] |= {"uid": "u", "creationTimestamp": "2026-11-22T10:00:00Z"}
    body["status"] = {
        "active": 1,
        "succeeded": 1,
        "failedIndexes": "0-1,7",
        "conditions": [
            {"type": "FailureTarget", "status": "True", "reason": "FailedIndexes"},
            {"type": "Failed", "status": "True", "reason": "FailedIndexes", "message": "Job has failed indexes"},
        ],
    }
    view = job_view(body)
    assert (view.stage, view.attempt, view.devices, view.fingerprint) == ("describe", 2, 1, "f" * 16)
    assert (view.failed_indexes, view.remaining, view.finished) == (3, 0, "failed")
    assert view.owner_uid == "uid-1"


def test_a_job_with_only_a_failure_target_is_not_finished() -> None:
    body = job()
    body["metadata"] |= {"uid": "u", "creationTimestamp": "2026-11-22T10:00:00Z"}
    body["status"] = {"conditions": [{"type": "FailureTarget", "status": "True", "reason": "FailedIndexes"}]}
    assert job_view(body).finished == ""


def pod(**status: Any) -> dict[str, Any]:
    metadata = {
        "name": "p",
        "creationTimestamp": "2026-11-22T10:00:00Z",
        "labels": {"batch.kubernetes.io/job-name": "j", names.STAGE: "embed"},
        "annotations": {"batch.kubernetes.io/job-completion-index": "4", names.DEVICES: "2"},
    }
    return {"metadata": metadata, "spec": {"nodeName": "n1"}, "status": status}


def test_a_pod_view_keeps_the_schedulers_message() -> None:
    message = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    view = pod_view(pod(phase="Pending", conditions=[condition]))
    assert (view.unschedulable, view.scheduled, view.live) == (message, None, True)


def test_a_pod_view_keeps_the_reason_of_an_oom_kill() -> None:
    state = {"terminated": {"exitCode": 137, "reason": "OOMKilled", "startedAt": "2026-11-22T10:00:05Z"}}
    view = pod_view(pod(phase="Failed", containerStatuses=[{"name": "worker", "state": state}]))
    assert (view.exit_code, view.exit_reason, view.index, view.devices) == (137, "OOMKilled", 4, 2)


def test_a_pod_view_shows_a_failed_image_pull_of_an_init_container() -> None:
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    view = pod_view(
        pod(
            phase="Pending",
            initContainerStatuses=[{"name": "wait", "state": waiting}],
            containerStatuses=[{"name": "worker", "state": {"waiting": {"reason": "PodInitializing"}}}],
        )
    )
    assert (view.waiting, view.waiting_message) == ("ImagePullBackOff", "no such image")


def document(reason: str) -> dict[str, Any]:
    stage = {
        "state": "waiting", "attempt": 1, "pods": 0, "parts": 0, "done": 3, "total": 4, "unit": "items", "rows": 5,
        "rejected": 1, "tokens_per_second": 0, "waiting": reason, "reason": None,
    }  # fmt: skip
    cluster = {"release": "r", "namespace": "n", "devices": 8, "devices_in_flight": 6, "exit_code": None}
    return {"run": "g", "state": "running", "message": "", "cluster": {**cluster, "stages": {"embed": stage}}}


def test_the_summary_is_a_table_followed_by_the_reasons_for_waiting() -> None:
    text = summary(document("unschedulable: 0/1 nodes are available"))
    assert "devices: 6 of 8 in use" in text
    assert "75 %" in text
    assert text.endswith("embed: unschedulable: 0/1 nodes are available\n")


def test_the_config_map_copy_never_exceeds_its_size_limit() -> None:
    large = document("x" * 400)
    large["cluster"]["stages"] = {f"s{i}": large["cluster"]["stages"]["embed"] for i in range(100)}
    text = _truncated(large)
    assert len(text.encode()) <= CONFIG_MAP_BYTES
    assert json.loads(text)["cluster"]["stages"]["s99"]["state"] == "waiting"
