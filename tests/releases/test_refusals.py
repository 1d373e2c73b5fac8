"""What can never succeed fails within minutes (here seconds) and says why; what may, waits and says for what."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from release import NAMESPACE, Release

from tests.fakekube import Cluster, Node


def test_a_bad_catalog_ends_the_run_with_10_and_the_line(release: Callable[..., Release]) -> None:
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


def test_an_image_that_is_not_there_is_told_and_ends_the_run(release: Callable[..., Release]) -> None:
    mine = release(values={"until": "describe", "images": {"generate": {"repository": "skutune-typo"}}})
    mine.install()
    code, words = mine.ended()
    assert code == 10
    assert "skutune-typo" in words
    assert "ImagePullBackOff" in words or "ErrImagePull" in words


def test_devices_that_no_node_has_are_explained_and_waited_for_up_to_a_limit(release: Callable[..., Release]) -> None:
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


def test_a_quota_is_waited_for_and_told(cluster: Cluster, release: Callable[..., Release]) -> None:
    mine = release(values={"until": "describe", "stages": {"describe": {"queuedSeconds": 4}}})
    cluster.create({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few", "namespace": NAMESPACE},
                    "spec": {"hard": {"requests.nvidia.com/gpu": "0"}}})  # fmt: skip
    mine.install()
    code, words = mine.ended()
    assert code == 75
    assert "exceeded quota" in words


def test_a_second_release_on_a_run_refuses_while_the_first_is_at_work(release: Callable[..., Release]) -> None:
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


def test_two_releases_in_a_namespace_do_not_meet(release: Callable[..., Release]) -> None:
    one = release("one", run="alpha", values={"until": "ingest"})
    two = release("two", run="beta", values={"until": "ingest"})
    one.install()
    two.install()
    assert one.ended()[0] == two.ended()[0] == 0
    one.uninstall()
    assert len(two.stage_jobs("ingest")) == 1


def test_a_plan_that_cannot_fit_is_refused_before_anything_is_made(
    cluster: Cluster, release: Callable[..., Release]
) -> None:
    mine = release(values={"stages": {"describe": {"devices": 9}}})
    done = mine.install(check=False)
    assert done.returncode != 0
    assert "describe" in done.stderr
    assert cluster.list("jobs", NAMESPACE) == []


def test_want_of_memory_is_not_tried_again(cluster: Cluster, release: Callable[..., Release]) -> None:
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
def test_a_lost_node_is_told_and_left_or_by_force_left_behind(force: bool, release: Callable[..., Release]) -> None:
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
