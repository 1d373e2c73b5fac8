"""Permanent errors fail within the grace period with their reason; transient ones are waited for with a reason."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from release import NAMESPACE, Release

from tests.fakekube import Cluster, Node


def test_an_invalid_catalog_ends_the_run_with_exit_code_10(make_release: Callable[..., Release]) -> None:
    release = make_release(values={"until": "describe"})
    bad = release.folder / "bad.csv"
    bad.write_text("product_id,product_name,aisle,department\n1,Beans,a,b\n1,Bread,a,b\n")
    release.upload(bad)
    release.install()
    code, message = release.wait_until_ended()
    assert code == 10
    assert "the id '1' is a duplicate" in message
    assert "the id '1' is a duplicate" in release.status_text()
    assert release.status()["cluster"]["exit_code"] == 10


def test_a_failed_image_pull_ends_the_run(make_release: Callable[..., Release]) -> None:
    release = make_release(values={"until": "describe", "images": {"generate": {"repository": "skutune-typo"}}})
    release.install()
    code, message = release.wait_until_ended()
    assert code == 10
    assert "skutune-typo" in message
    assert "ImagePullBackOff" in message or "ErrImagePull" in message


def test_an_unschedulable_stage_times_out_with_the_schedulers_message(make_release: Callable[..., Release]) -> None:
    values = {
        "until": "describe",
        "gpu": {"devices": 16},
        "stages": {"describe": {"devices": 16, "queuedSeconds": 6}},
    }
    release = make_release(values=values)
    release.install()
    code, message = release.wait_until_ended()
    assert code == 75
    assert "Insufficient nvidia.com/gpu" in message


def test_an_exceeded_quota_times_out_with_its_message(cluster: Cluster, make_release: Callable[..., Release]) -> None:
    release = make_release(values={"until": "describe", "stages": {"describe": {"queuedSeconds": 4}}})
    cluster.create({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few", "namespace": NAMESPACE},
                    "spec": {"hard": {"requests.nvidia.com/gpu": "0"}}})  # fmt: skip
    release.install()
    code, message = release.wait_until_ended()
    assert code == 75
    assert "exceeded quota" in message


def test_a_second_release_cannot_claim_an_active_run(make_release: Callable[..., Release]) -> None:
    first = make_release("first", values={"until": "recommend"})
    first.install()
    first.wait_for("ingest/")
    second = make_release("second", values={"until": "recommend"})
    second.values["config"] = first.values["config"]
    second.install()
    code, message = second.wait_until_ended()
    assert code == 10, f"{message}\n{second.controller_log()}"
    assert "first" in message
    assert "first" in second.status_text()
    assert first.wait_until_ended()[0] == 0


def test_two_releases_in_a_namespace_are_independent(make_release: Callable[..., Release]) -> None:
    one = make_release("one", run="alpha", values={"until": "ingest"})
    two = make_release("two", run="beta", values={"until": "ingest"})
    one.install()
    two.install()
    assert one.wait_until_ended()[0] == two.wait_until_ended()[0] == 0
    one.uninstall()
    assert len(two.stage_jobs("ingest")) == 1


def test_a_plan_beyond_the_budget_is_rejected_before_anything_is_created(
    cluster: Cluster, make_release: Callable[..., Release]
) -> None:
    release = make_release(values={"stages": {"describe": {"devices": 9}}})
    done = release.install(check=False)
    assert done.returncode != 0
    assert "describe" in done.stderr
    assert cluster.list("jobs", NAMESPACE) == []


def test_an_oom_kill_is_not_retried(cluster: Cluster, make_release: Callable[..., Release]) -> None:
    release = make_release(values={"until": "recommend", "config": {"stages": {"question": {"per_product": 40}}}})
    release.install()
    assert cluster.wait(lambda: _running(release, "question") != [], 60), release.status_text()
    cluster.oom(_running(release, "question")[0], NAMESPACE)
    code, message = release.wait_until_ended()
    assert code == 10
    assert "stages.question.resources.limits.memory" in message


def _running(release: Release, stage: str) -> list[str]:
    pods = release.cluster.list("pods", NAMESPACE, labels={"skutune.io/stage": stage})
    return [pod["metadata"]["name"] for pod in pods if pod["status"].get("phase") == "Running"]


@pytest.mark.parametrize("force", [False, True])
def test_an_unreachable_node_is_reported_and_with_force_delete_replaced(
    force: bool, make_release: Callable[..., Release]
) -> None:
    controller = {"forceDelete": force, "unreachableSeconds": 1, "nodeSelector": {"role": "cpu"}}
    stages = {"question": {"terminationGracePeriodSeconds": 15}}
    release = make_release(values={"until": "question", "controller": controller, "stages": stages})
    cluster = release.cluster
    cluster.add_node(Node("cpu-1", labels={"role": "cpu"}))
    labels = {"nvidia.com/gpu.present": "true"}
    cluster.add_node(Node("gpu-2", labels=labels, allocatable={"nvidia.com/gpu": 8}))
    release.install()
    assert cluster.wait(lambda: _running(release, "question") != [], 60), release.status_text()
    lost = cluster.get("pods", _running(release, "question")[0], NAMESPACE)["spec"]["nodeName"]
    cluster.lose_node(lost)
    if not force:
        assert cluster.wait(lambda: f"node {lost} is unreachable" in release.status_text(), 60), release.status_text()
        cluster.return_node(lost)
    code, message = release.wait_until_ended()
    assert code == 0, f"{message}\n{release.controller_log()}"
