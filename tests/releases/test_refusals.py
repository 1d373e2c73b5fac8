"""What can never succeed fails within minutes (here seconds) and says why; what may, waits and says for what."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from release import NAMESPACE, Release

from tests.fakekube import Cluster, Node


def test_an_invalid_catalog_ends_the_run_with_exit_code_10(release: Callable[..., Release]) -> None:
    mine = release(values={"until": "describe"})
    bad = mine.folder / "bad.csv"
    bad.write_text("product_id,product_name,aisle,department\n1,Beans,a,b\n1,Bread,a,b\n")
    mine.upload(bad)
    mine.install()
    code, words = mine.ended()
    assert code == 10
    assert "the id '1' is there already" in words
    assert "the id '1' is there already" in mine.status_text()
    assert mine.status()["cluster"]["exit_code"] == 10


def test_a_failed_image_pull_ends_the_run(release: Callable[..., Release]) -> None:
    mine = release(values={"until": "describe", "images": {"generate": {"repository": "skutune-typo"}}})
    mine.install()
    code, words = mine.ended()
    assert code == 10
    assert "skutune-typo" in words
    assert "ImagePullBackOff" in words or "ErrImagePull" in words


def test_an_unschedulable_stage_times_out_with_the_schedulers_message(release: Callable[..., Release]) -> None:
    values = {
        "until": "describe",
        "gpu": {"devices": 16},
        "stages": {"describe": {"devices": 16, "queuedSeconds": 6}},
    }
    mine = release(values=values)
    mine.install()
    code, words = mine.ended()
    assert code == 75
    assert "Insufficient nvidia.com/gpu" in words


def test_an_exceeded_quota_times_out_with_its_message(cluster: Cluster, release: Callable[..., Release]) -> None:
    mine = release(values={"until": "describe", "stages": {"describe": {"queuedSeconds": 4}}})
    cluster.create({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few", "namespace": NAMESPACE},
                    "spec": {"hard": {"requests.nvidia.com/gpu": "0"}}})  # fmt: skip
    mine.install()
    code, words = mine.ended()
    assert code == 75
    assert "exceeded quota" in words


def test_a_second_release_cannot_claim_an_active_run(release: Callable[..., Release]) -> None:
    first = release("first", values={"until": "recommend"})
    first.install()
    first.wait_for("ingest/")
    second = release("second", values={"until": "recommend"})
    second.values["config"] = first.values["config"]
    second.install()
    code, words = second.ended()
    assert code == 10, f"{words}\n{second.controller_log()}"
    assert "first" in words
    assert "first" in second.status_text()
    assert first.ended()[0] == 0


def test_two_releases_in_a_namespace_are_independent(release: Callable[..., Release]) -> None:
    one = release("one", run="alpha", values={"until": "ingest"})
    two = release("two", run="beta", values={"until": "ingest"})
    one.install()
    two.install()
    assert one.ended()[0] == two.ended()[0] == 0
    one.uninstall()
    assert len(two.stage_jobs("ingest")) == 1


def test_a_plan_beyond_the_budget_is_rejected_before_anything_is_created(
    cluster: Cluster, release: Callable[..., Release]
) -> None:
    mine = release(values={"stages": {"describe": {"devices": 9}}})
    done = mine.install(check=False)
    assert done.returncode != 0
    assert "describe" in done.stderr
    assert cluster.list("jobs", NAMESPACE) == []


def test_an_oom_kill_is_not_retried(cluster: Cluster, release: Callable[..., Release]) -> None:
    mine = release(values={"until": "recommend", "config": {"stages": {"question": {"per_product": 40}}}})
    mine.install()
    assert cluster.wait(lambda: _running(mine, "question") != [], 60), mine.status_text()
    cluster.oom(_running(mine, "question")[0], NAMESPACE)
    code, words = mine.ended()
    assert code == 10
    assert "stages.question.resources.limits.memory" in words


def _running(release: Release, stage: str) -> list[str]:
    pods = release.cluster.list("pods", NAMESPACE, labels={"skutune.io/stage": stage})
    return [pod["metadata"]["name"] for pod in pods if pod["status"].get("phase") == "Running"]


@pytest.mark.parametrize("force", [False, True])
def test_an_unreachable_node_is_reported_and_with_force_delete_replaced(
    force: bool, release: Callable[..., Release]
) -> None:
    controller = {"forceDelete": force, "unreachableSeconds": 1, "nodeSelector": {"role": "cpu"}}
    stages = {"question": {"terminationGracePeriodSeconds": 15}}
    mine = release(values={"until": "question", "controller": controller, "stages": stages})
    cluster = mine.cluster
    cluster.add_node(Node("cpu-1", labels={"role": "cpu"}))
    labels = {"nvidia.com/gpu.present": "true"}
    cluster.add_node(Node("gpu-2", labels=labels, allocatable={"nvidia.com/gpu": 8}))
    mine.install()
    assert cluster.wait(lambda: _running(mine, "question") != [], 60), mine.status_text()
    lost = cluster.get("pods", _running(mine, "question")[0], NAMESPACE)["spec"]["nodeName"]
    cluster.lose_node(lost)
    if not force:
        assert cluster.wait(lambda: f"node {lost} is unreachable" in mine.status_text(), 60), mine.status_text()
        cluster.return_node(lost)
    code, words = mine.ended()
    assert code == 0, f"{words}\n{mine.controller_log()}"
