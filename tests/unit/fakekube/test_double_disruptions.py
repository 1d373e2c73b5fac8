"""Evictions, kills, lack of memory, lost nodes: what a controller has to tell apart."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from workloads import container_state, end_of, job, phase_of, pod, pods_of, wait_for_phase

from tests.fakekube import Cluster, Node

GENTLE = "trap 'echo told; exit 143' TERM; while true; do sleep 0.05; done"
STUBBORN = "trap '' TERM; while true; do sleep 0.05; done"
IGNORE_DISRUPTIONS = {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]}


def disruption(found: dict[str, Any]) -> str | None:
    conditions = found["status"].get("conditions", [])
    return next((one["reason"] for one in conditions if one["type"] == "DisruptionTarget"), None)


def running_pod(cluster: Cluster, name: str) -> str:
    """The name of the one running pod of a Job."""

    def running() -> str | None:
        names = [p["metadata"]["name"] for p in pods_of(cluster, name) if p["status"]["phase"] == "Running"]
        return names[0] if names else None

    found = cluster.wait(running)
    assert found is not None
    return found


def kept(cluster: Cluster, name: str) -> None:
    """Hold a pod with a finalizer, so that its end can be looked at."""
    cluster.patch("pods", name, {"metadata": {"finalizers": ["tests.example/keep"]}})


def test_an_evicted_pod_is_told_and_marked_as_a_disruption_target(cluster: Cluster) -> None:
    cluster.create(pod("worker", GENTLE))
    wait_for_phase(cluster, "worker", "Running")
    kept(cluster, "worker")
    cluster.evict("worker")
    ended = wait_for_phase(cluster, "worker", "Failed")
    assert disruption(ended) == "EvictionByEvictionAPI"
    assert container_state(ended)["terminated"]["exitCode"] == 143
    assert cluster.logs("worker") == "told\n"


def test_a_deleted_pod_says_when_its_grace_period_will_be_over(cluster: Cluster) -> None:
    cluster.create(pod("worker", STUBBORN, terminationGracePeriodSeconds=30))
    wait_for_phase(cluster, "worker", "Running")
    before = datetime.now(UTC)
    cluster.delete("pods", "worker")
    written = cluster.get("pods", "worker")["metadata"]["deletionTimestamp"]
    left = datetime.fromisoformat(written) - before
    assert 28 <= left.total_seconds() <= 32
    cluster.delete("pods", "worker", grace_seconds=0)
    cluster.wait(lambda: not cluster.exists("pods", "worker"))


def test_a_pod_that_does_not_listen_is_killed_after_its_grace_period(cluster: Cluster) -> None:
    cluster.create(pod("worker", STUBBORN, terminationGracePeriodSeconds=1))
    wait_for_phase(cluster, "worker", "Running")
    kept(cluster, "worker")
    cluster.evict("worker")
    assert container_state(wait_for_phase(cluster, "worker", "Failed"))["terminated"]["exitCode"] == 137


def test_an_eviction_that_the_policy_ignores_costs_no_retry(cluster: Cluster) -> None:
    cluster.create(job("work", GENTLE, backoffLimit=0, podFailurePolicy=IGNORE_DISRUPTIONS))
    first = running_pod(cluster, "work")
    cluster.evict(first)
    cluster.wait(lambda: running_pod(cluster, "work") != first)
    assert "failed" not in cluster.get("jobs", "work")["status"]


def test_want_of_memory_is_no_disruption_and_has_its_own_reason(cluster: Cluster) -> None:
    cluster.create(pod("worker", "sleep 60"))
    wait_for_phase(cluster, "worker", "Running")
    cluster.oom("worker")
    ended = wait_for_phase(cluster, "worker", "Failed")
    assert disruption(ended) is None
    assert (container_state(ended)["terminated"]["reason"], container_state(ended)["terminated"]["exitCode"]) == (
        "OOMKilled",
        137,
    )


def test_a_kill_is_an_error_with_code_137(cluster: Cluster) -> None:
    cluster.create(pod("worker", "sleep 60"))
    wait_for_phase(cluster, "worker", "Running")
    cluster.kill("worker")
    ended = container_state(wait_for_phase(cluster, "worker", "Failed"))["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("Error", 137)


def test_pods_of_a_lost_node_stay_terminating_until_it_returns() -> None:
    with Cluster(nodes=[Node("one")]) as cluster:
        cluster.create(job("work", GENTLE, podFailurePolicy=IGNORE_DISRUPTIONS))
        lost = running_pod(cluster, "work")
        cluster.lose_node("one")
        found = cluster.get("pods", lost)
        assert disruption(found) == "DeletionByTaintManager"
        assert found["metadata"]["deletionTimestamp"]
        cluster.add_node(Node("two"))
        cluster.create(job("meanwhile", "sleep 0.2"))
        end_of(cluster, "meanwhile")
        assert cluster.get("jobs", "work")["status"]["terminating"] == 1
        assert len(pods_of(cluster, "work")) == 1  # no replacement before the end is known
        cluster.return_node("one")
        cluster.wait(lambda: not cluster.exists("pods", lost))
        assert running_pod(cluster, "work") != lost


def test_a_forced_deletion_does_not_free_an_index_that_waits_for_the_end_of_its_pod() -> None:
    with Cluster(nodes=[Node("one")]) as cluster:
        cluster.create(job("work", "sleep 60", podFailurePolicy=IGNORE_DISRUPTIONS))
        lost = running_pod(cluster, "work")
        cluster.lose_node("one")
        cluster.delete("pods", lost, grace_seconds=0)
        cluster.create(job("meanwhile"))
        cluster.add_node(Node("two"))
        end_of(cluster, "meanwhile")
        assert cluster.get("pods", lost)["metadata"]["deletionGracePeriodSeconds"] == 0  # held by the Job's finalizer
        cluster.delete("jobs", "work")
        cluster.wait(lambda: not cluster.exists("pods", lost))


def test_processes_of_an_unreachable_node_may_go_on() -> None:
    with Cluster(nodes=[Node("one")]) as cluster:
        cluster.create(pod("worker", "sleep 0.5; echo still here"))
        wait_for_phase(cluster, "worker", "Running")
        cluster.lose_node("one", processes_die=False)
        cluster.wait(lambda: cluster.logs("worker") == "still here\n")
        assert phase_of(cluster, "worker") == "Running"  # nobody hears of it


def test_pods_of_a_removed_node_are_failed_and_replaced() -> None:
    with Cluster(nodes=[Node("one"), Node("two")]) as cluster:
        cluster.create(job("work", "sleep 60", backoffLimit=0, podFailurePolicy=IGNORE_DISRUPTIONS))
        first = running_pod(cluster, "work")
        cluster.remove_node(cluster.get("pods", first)["spec"]["nodeName"])
        cluster.wait(lambda: running_pod(cluster, "work") != first)
        assert "failed" not in cluster.get("jobs", "work")["status"]


def test_a_forced_deletion_takes_a_pod_of_a_lost_node_away() -> None:
    with Cluster(nodes=[Node("one")]) as cluster:
        cluster.create(pod("worker", "sleep 60"))
        wait_for_phase(cluster, "worker", "Running")
        cluster.lose_node("one")
        assert cluster.exists("pods", "worker")
        cluster.delete("pods", "worker", grace_seconds=0)
        assert not cluster.exists("pods", "worker")


def test_exit_codes_are_judged_by_the_first_rule_that_fits(cluster: Cluster) -> None:
    rules = [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]},
        {"action": "FailJob", "onExitCodes": {"containerName": "m", "operator": "In", "values": [10]}},
    ]
    cluster.create(job("refused", "exit 10", podFailurePolicy={"rules": rules}))
    assert end_of(cluster, "refused") == "Failed"
    conditions = cluster.get("jobs", "refused")["status"]["conditions"]
    assert conditions[-1]["reason"] == "PodFailurePolicy"
    assert "failed with exit code 10 matching FailJob rule at index 1" in conditions[-1]["message"]
