"""Pods go where labels, taints and devices let them, and say in the scheduler's own words why they go nowhere."""

from __future__ import annotations

from typing import Any

import pytest
from workloads import end_of, events_about, job, phase_of, pod, wait_for_phase

from tests.fakekube import Cluster, Node

GPU = "nvidia.com/gpu"
GPUS_8 = Node("gpu-1", labels={"pool": "gpu"}, allocatable={GPU: 8})


def asking(devices: int, name: str = "worker", script: str = "sleep 60", **spec: Any) -> dict[str, Any]:
    resources = {"limits": {GPU: devices}}
    return pod(name, script, container={"resources": resources}, **spec)


def unschedulable(cluster: Cluster, name: str) -> str:
    """The scheduler's sentence, once there is one."""

    def message() -> str | None:
        conditions = cluster.get("pods", name)["status"].get("conditions", [])
        return next(
            (c.get("message") for c in conditions if c["type"] == "PodScheduled" and c["status"] == "False"), None
        )

    told = cluster.wait(message, 10)
    assert told is not None
    return told


def node_of(cluster: Cluster, name: str) -> str | None:
    return cluster.get("pods", name)["spec"].get("nodeName")


def test_a_pod_goes_to_a_node_with_its_labels() -> None:
    with Cluster(nodes=[Node("plain"), GPUS_8]) as cluster:
        cluster.create(pod("worker", nodeSelector={"pool": "gpu"}))
        wait_for_phase(cluster, "worker", "Succeeded")
        assert node_of(cluster, "worker") == "gpu-1"
        assert ("Scheduled", "Successfully assigned default/worker to gpu-1") in events_about(cluster, "worker")


def test_a_pod_that_asks_for_more_devices_than_are_free_stays_pending_until_they_are() -> None:
    with Cluster(nodes=[GPUS_8]) as cluster:
        cluster.create(asking(6, "first"))
        wait_for_phase(cluster, "first", "Running")
        cluster.create(asking(4, "second"))
        told = f"0/1 nodes are available: 1 Insufficient {GPU}. "
        assert unschedulable(cluster, "second").startswith(told)
        assert phase_of(cluster, "second") == "Pending"
        assert any(reason == "FailedScheduling" and told in text for reason, text in events_about(cluster, "second"))
        cluster.delete("pods", "first")
        wait_for_phase(cluster, "second", "Running")


def test_every_reason_is_counted_over_the_nodes() -> None:
    tainted = Node("gpu-2", allocatable={GPU: 8}, taints=[{"key": GPU, "value": "present", "effect": "NoSchedule"}])
    with Cluster(nodes=[Node("plain"), GPUS_8, tainted]) as cluster:
        cluster.create(asking(9, nodeSelector={"pool": "gpu"}))
        assert unschedulable(cluster, "worker") == (
            f"0/3 nodes are available: 1 Insufficient {GPU}, 1 node(s) didn't match Pod's node affinity/selector, "
            "1 node(s) had untolerated taint(s). no new claims to deallocate, preemption: 0/3 nodes are available: "
            "3 Preemption is not helpful for scheduling."
        )


@pytest.mark.parametrize(
    "toleration",
    [
        {"key": "dedicated", "operator": "Exists"},
        {"key": "dedicated", "value": "training", "effect": "NoSchedule"},
        {"operator": "Exists"},
    ],
)
def test_a_toleration_lets_a_pod_onto_a_tainted_node(toleration: dict[str, str]) -> None:
    node = Node("tainted", taints=[{"key": "dedicated", "value": "training", "effect": "NoSchedule"}])
    with Cluster(nodes=[node]) as cluster:
        cluster.create(pod("worker", tolerations=[toleration]))
        wait_for_phase(cluster, "worker", "Succeeded")


def test_a_toleration_of_another_value_does_not() -> None:
    node = Node("tainted", taints=[{"key": "dedicated", "value": "training", "effect": "NoSchedule"}])
    with Cluster(nodes=[node]) as cluster:
        cluster.create(pod("worker", tolerations=[{"key": "dedicated", "value": "serving"}]))
        assert "1 node(s) had untolerated taint(s)" in unschedulable(cluster, "worker")


@pytest.mark.parametrize(
    ("term", "goes_to"),
    [
        ({"matchExpressions": [{"key": "model", "operator": "In", "values": ["H100", "H200"]}]}, "new"),
        ({"matchExpressions": [{"key": "model", "operator": "NotIn", "values": ["H100"]}]}, "old"),
        ({"matchExpressions": [{"key": "memory", "operator": "Gt", "values": ["79"]}]}, "new"),
        ({"matchExpressions": [{"key": "spot", "operator": "DoesNotExist"}]}, "new"),
        ({"matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["new"]}]}, "old"),
        ({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["new"]}]}, "new"),
    ],
)
def test_node_affinity_chooses_by_labels_and_by_name(term: dict[str, Any], goes_to: str) -> None:
    nodes = [
        Node("new", {"model": "H100", "memory": "80"}),
        Node("old", {"model": "A100", "memory": "40", "spot": "true"}),
    ]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    with Cluster(nodes=nodes) as cluster:
        cluster.create(pod("worker", affinity={"nodeAffinity": required}))
        wait_for_phase(cluster, "worker", "Succeeded")
        assert node_of(cluster, "worker") == goes_to


def test_a_new_node_takes_what_waited() -> None:
    with Cluster(nodes=[]) as cluster:
        cluster.create(asking(1, script="true"))
        assert unschedulable(cluster, "worker") == "no nodes available to schedule pods"
        cluster.add_node(GPUS_8)
        wait_for_phase(cluster, "worker", "Succeeded")


def test_the_peak_of_devices_counts_all_that_ran_at_one_time() -> None:
    with Cluster(nodes=[GPUS_8]) as cluster:
        resources = {"container": {"resources": {"limits": {GPU: 2}}}}
        spec = {"completionMode": "Indexed", "completions": 6, "parallelism": 3}
        cluster.create(job("work", "sleep 0.3", resources, **spec))
        end_of(cluster, "work")
        assert cluster.peak(GPU) == 6
        assert cluster.in_flight(GPU) == 0


def test_a_terminating_pod_still_holds_its_devices() -> None:
    with Cluster(nodes=[GPUS_8]) as cluster:
        script = "trap 'sleep 0.5; exit 1' TERM; while true; do sleep 0.05; done"
        cluster.create(asking(5, "old", script))
        wait_for_phase(cluster, "old", "Running")
        cluster.delete("pods", "old")
        cluster.create(asking(5, "new", "true"))
        assert f"Insufficient {GPU}" in unschedulable(cluster, "new")
        assert cluster.in_flight(GPU) == 5
        wait_for_phase(cluster, "new", "Succeeded")
        assert cluster.peak(GPU) == 5


def test_a_pod_waits_for_its_volume_claim(cluster: Cluster) -> None:
    volume = {"name": "models", "persistentVolumeClaim": {"claimName": "weights"}}
    cluster.create(pod("worker", volumes=[volume]))
    assert 'persistentvolumeclaim "weights" not found' in unschedulable(cluster, "worker")
    cluster.create({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "weights"}, "spec": {}})
    wait_for_phase(cluster, "worker", "Succeeded")
