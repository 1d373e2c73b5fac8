"""Jobs end here as they ended on a real Kubernetes 1.36.2, whose answers lie in `goldens`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from workloads import end_of, events_about, job, pods_of

from tests.fakekube import Cluster

GOLDENS = Path(__file__).with_name("goldens")
BEHAVIOUR = json.loads((GOLDENS / "behaviour.json").read_text())
INDEX = "batch.kubernetes.io/job-completion-index"
FAILURES = "batch.kubernetes.io/job-index-failure-count"


def summary(cluster: Cluster, name: str) -> dict[str, Any]:
    """What the recorded behaviours show of a Job's status."""
    status = cluster.get("jobs", name)["status"]
    shown = {
        key: status[key]
        for key in ("active", "succeeded", "failed", "completedIndexes", "failedIndexes")
        if key in status
    }
    return {**shown, "conditions": [f"{c['type']}={c['status']}:{c['reason']}" for c in status.get("conditions", [])]}


def ready(cluster: Cluster, name: str, count: int) -> bool:
    return bool(cluster.get("jobs", name)["status"].get("ready") == count)


def indexed(count: int, **spec: Any) -> dict[str, Any]:
    return {"completionMode": "Indexed", "completions": count, "parallelism": count, **spec}


def test_a_suspended_job_loses_its_pods_and_gets_new_ones_when_it_is_resumed(cluster: Cluster) -> None:
    cluster.create(job("sleeper", "sleep 60", **indexed(2)))
    cluster.wait(lambda: ready(cluster, "sleeper", 2))
    cluster.patch("jobs", "sleeper", {"spec": {"suspend": True}})
    cluster.wait(lambda: not pods_of(cluster, "sleeper"))
    assert summary(cluster, "sleeper") == BEHAVIOUR["suspended"]
    assert "startTime" not in cluster.get("jobs", "sleeper")["status"]
    cluster.patch("jobs", "sleeper", {"spec": {"suspend": False}})
    cluster.wait(lambda: ready(cluster, "sleeper", 2))
    assert summary(cluster, "sleeper") == BEHAVIOUR["resumed"]


def test_an_indexed_job_grows_and_shrinks_with_its_completions(cluster: Cluster) -> None:
    cluster.create(job("elastic", "sleep 60", **indexed(2)))
    cluster.wait(lambda: ready(cluster, "elastic", 2))
    cluster.patch("jobs", "elastic", {"spec": {"completions": 3, "parallelism": 3}})
    cluster.wait(lambda: ready(cluster, "elastic", 3))
    cluster.patch("jobs", "elastic", {"spec": {"completions": 1, "parallelism": 1}})
    cluster.wait(lambda: ready(cluster, "elastic", 1) and len(pods_of(cluster, "elastic")) == 1)
    assert summary(cluster, "elastic")["active"] == BEHAVIOUR["scaled down"]["active"]
    assert "failed" not in summary(cluster, "elastic")


def test_a_deleted_pod_is_a_failure_and_is_replaced(cluster: Cluster) -> None:
    cluster.create(job("replaced", "sleep 60"))
    cluster.wait(lambda: ready(cluster, "replaced", 1))
    first = pods_of(cluster, "replaced")[0]["metadata"]["name"]
    cluster.delete("pods", first)
    cluster.wait(lambda: [p["metadata"]["name"] for p in pods_of(cluster, "replaced")] not in ([], [first]))
    cluster.wait(lambda: not cluster.exists("pods", first) and ready(cluster, "replaced", 1))
    assert summary(cluster, "replaced")["failed"] == BEHAVIOUR["pod deleted"]["failed"]


def test_deleting_a_job_with_orphans_leaves_its_pods_without_owner_and_finalizer(cluster: Cluster) -> None:
    cluster.create(job("parent", "sleep 60"))
    cluster.wait(lambda: ready(cluster, "parent", 1))
    left = pods_of(cluster, "parent")
    cluster.delete("jobs", "parent", propagation="Orphan")
    cluster.wait(lambda: not cluster.get("pods", left[0]["metadata"]["name"])["metadata"].get("finalizers"))
    assert "ownerReferences" not in cluster.get("pods", left[0]["metadata"]["name"])["metadata"]


def test_a_foreground_deletion_waits_for_the_pods(cluster: Cluster) -> None:
    cluster.create(job("parent", "trap 'sleep 0.3; exit 1' TERM; while true; do sleep 0.1; done"))
    cluster.wait(lambda: ready(cluster, "parent", 1))
    cluster.delete("jobs", "parent", propagation="Foreground")
    assert cluster.get("jobs", "parent")["metadata"]["finalizers"] == ["foregroundDeletion"]
    cluster.wait(lambda: not cluster.exists("jobs", "parent"))
    assert pods_of(cluster, "parent") == []


def test_a_job_over_its_deadline_fails(cluster: Cluster) -> None:
    cluster.create(job("late", "trap 'exit 7' TERM; while true; do sleep 0.1; done", activeDeadlineSeconds=1))
    assert end_of(cluster, "late") == "Failed"
    assert summary(cluster, "late") == BEHAVIOUR["deadline"]


def test_an_index_fails_alone_by_its_rule_or_by_its_limit(cluster: Cluster) -> None:
    script = "case $JOB_COMPLETION_INDEX in 1) exit 9;; 2) exit 3;; esac"
    rules = {"rules": [{"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [9]}}]}
    cluster.create(job("partly", script, **indexed(4, backoffLimitPerIndex=1, podFailurePolicy=rules)))
    assert end_of(cluster, "partly") == "Failed"
    assert summary(cluster, "partly") == BEHAVIOUR["failindex"]
    notes = [(p["metadata"]["annotations"], p["status"]["phase"]) for p in pods_of(cluster, "partly")]
    assert sorted((note[INDEX], phase, note[FAILURES]) for note, phase in notes) == [
        ("0", "Succeeded", "0"),
        ("1", "Failed", "0"),
        ("2", "Failed", "0"),
        ("2", "Failed", "1"),
        ("3", "Succeeded", "0"),
    ]


def test_too_many_failed_indexes_end_a_job(cluster: Cluster) -> None:
    script = "sleep 0.5; test $JOB_COMPLETION_INDEX -ge 2"
    cluster.create(job("most", script, **indexed(4, parallelism=2, backoffLimitPerIndex=0, maxFailedIndexes=1)))
    assert end_of(cluster, "most") == "Failed"
    assert summary(cluster, "most") == BEHAVIOUR["maxfailed"]


def test_a_success_policy_ends_a_job_early(cluster: Cluster) -> None:
    policy = {"rules": [{"succeededIndexes": "0"}]}
    script = "test $JOB_COMPLETION_INDEX = 0 || sleep 60"
    cluster.create(job("leader", script, **indexed(3, successPolicy=policy)))
    assert end_of(cluster, "leader") == "Complete"
    assert summary(cluster, "leader") == BEHAVIOUR["successpolicy"]


def test_an_ignored_failure_is_tried_again_without_end(cluster: Cluster) -> None:
    rules = {"rules": [{"action": "Ignore", "onExitCodes": {"operator": "In", "values": [11]}}]}
    cluster.create(job("again", "exit 11", backoffLimit=0, podFailurePolicy=rules))
    cluster.wait(lambda: len(pods_of(cluster, "again")) > 3)
    assert summary(cluster, "again")["conditions"] == BEHAVIOUR["ignore"]["conditions"]


def test_a_work_queue_ends_when_one_pod_succeeded_and_none_is_active(cluster: Cluster) -> None:
    cluster.create(job("queue", "sleep 0.2", parallelism=2))
    assert end_of(cluster, "queue") == "Complete"
    assert summary(cluster, "queue") == BEHAVIOUR["workqueue"]
    assert "completions" not in cluster.get("jobs", "queue")["spec"]


def test_a_finished_job_goes_after_its_time_to_live_and_takes_its_pods(cluster: Cluster) -> None:
    cluster.create(job("brief", ttlSecondsAfterFinished=0))
    cluster.wait(lambda: not cluster.exists("jobs", "brief") and not pods_of(cluster, "brief"))


def test_jobs_that_were_recorded_look_the_same(cluster: Cluster) -> None:
    wanted = json.loads((GOLDENS / "jobs.json").read_text())
    for manifest in yaml.safe_load_all((GOLDENS / "jobs.yaml").read_text()):
        cluster.create(manifest)
    for name in wanted:
        end_of(cluster, name)
    for name, recorded in wanted.items():
        found = cluster.get("jobs", name)
        spec = {key: value for key, value in found["spec"].items() if key not in ("template", "selector")}
        assert spec == recorded["spec"]
        assert without_times(found["status"]) == recorded["status"]
    ends = [end_of_pod(pod) for pod in cluster.list("pods")]
    assert sorted(ends) == sorted([*one[:3], sorted(one[3])] for one in json.loads((GOLDENS / "pods.json").read_text()))


def end_of_pod(pod: dict[str, Any]) -> list[Any]:
    """Name without its random end, phase, exit codes, conditions."""
    status = pod["status"]
    conditions = sorted([one["type"], one["status"], one.get("reason") or ""] for one in status["conditions"])
    codes = [one["state"]["terminated"]["exitCode"] for one in status["containerStatuses"]]
    return [re.sub(r"-[a-z0-9]{5}$", "", pod["metadata"]["name"]), status["phase"], codes, conditions]


def without_times(status: dict[str, Any]) -> dict[str, Any]:
    """A status as the golden has it: no times, no random names."""
    shown = {key: "T" if key in ("startTime", "completionTime") else value for key, value in status.items()}
    shown["conditions"] = [
        {
            key: re.sub(r"pod \S+/(\S+)-[a-z0-9]{5}\b", r"pod NAMESPACE/\1-XXXXX", value)
            for key, value in one.items()
            if "Time" not in key
        }
        for one in status["conditions"]
    ]
    return shown


def test_a_failed_job_waits_longer_before_every_retry() -> None:
    with Cluster(backoff_seconds=0.3) as cluster:
        cluster.create(job("retried", "date +%s.%N; exit 1", backoffLimit=2))
        end_of(cluster, "retried")
        times = sorted(float(cluster.logs(pod["metadata"]["name"])) for pod in pods_of(cluster, "retried"))
    assert times[1] - times[0] >= 0.3
    assert times[2] - times[1] >= 0.6


def test_a_job_tells_of_its_pods_and_its_end_by_events(cluster: Cluster) -> None:
    cluster.create(job("told"))
    end_of(cluster, "told")
    pod = pods_of(cluster, "told")[0]["metadata"]["name"]
    assert events_about(cluster, "told") == [
        ("SuccessfulCreate", f"Created pod: {pod}"),
        ("Completed", "Job completed"),
    ]


def test_a_job_of_another_controller_is_left_alone(cluster: Cluster) -> None:
    cluster.create(job("theirs", managedBy="kueue.x-k8s.io/multikueue"))
    cluster.create(job("ours"))
    end_of(cluster, "ours")
    assert pods_of(cluster, "theirs") == []


@pytest.mark.parametrize(
    ("spans", "text"),
    [({0, 1, 2, 5}, "0-2,5"), ({1, 2}, "1,2"), (set(), ""), ({7}, "7"), ({0, 2, 3, 4}, "0,2-4")],
)
def test_indexes_are_written_as_spans(spans: set[int], text: str) -> None:
    from tests.fakekube import job_rules

    assert job_rules.spans(spans) == text
    assert job_rules.parse_spans(text) == spans
