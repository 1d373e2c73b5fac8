"""Upgrades, roll-backs and reruns of a release."""

from __future__ import annotations

from collections.abc import Callable

import kubernetes_tools
import pytest
from release import NAMESPACE, Release, _merged

from tests.fakekube import Cluster


def _names(jobs: list[dict[str, object]]) -> set[str]:
    return {job["metadata"]["uid"] for job in jobs}  # type: ignore[index]


@pytest.mark.parametrize("helm", ["helm3", "helm4"])
def test_upgrades_and_rollbacks_resume_and_are_no_ops_without_changes(
    helm: str, cluster: Cluster, release: Callable[..., Release]
) -> None:
    mine = release(helm=getattr(kubernetes_tools, helm)(), values={"until": "recommend"})
    mine.install()
    mine.wait_for("question/")
    first = _names(mine.controller_jobs())
    mine.upgrade()
    assert _names(mine.controller_jobs()) == first, "an upgrade without changes began anew"

    mine.values = _merged(mine.values, {"config": {"stages": {"question": {"per_product": 3}}}})
    mine.upgrade()
    code, words = mine.ended()
    assert code == 0, f"{words}\n{mine.controller_log()}"
    second = _names(mine.controller_jobs())
    assert not first & second, "the old controller's Job is still there"
    owners = {job["metadata"]["ownerReferences"][0]["uid"] for job in mine.jobs(**{"skutune.io/run": "sample"})}
    assert owners == second, "stage Jobs of the old controller are left"
    assert _attempts_of_ingest(mine) == 1, "what was done already was done again"

    mine.run_helm("rollback", mine.name, "1")
    code, words = mine.ended()
    assert code == 0, f"{words}\n{mine.controller_log()}"
    assert cluster.peak("nvidia.com/gpu") <= 8


def _attempts_of_ingest(release: Release) -> int:
    from skutune.store import open_store

    return sum("/task-a" in info.key for info in open_store(release.store).list(f"{release.run}/ingest/"))


def test_a_changed_rerun_starts_a_new_controller(release: Callable[..., Release]) -> None:
    mine = release(values={"until": "ingest"})
    mine.install()
    assert mine.ended()[0] == 0
    before = _names(mine.controller_jobs())
    mine.values["rerun"] = 1
    mine.upgrade()
    assert mine.ended()[0] == 0
    assert not before & _names(mine.controller_jobs())
    assert _attempts_of_ingest(mine) == 1


def test_the_longest_release_name_works(cluster: Cluster, release: Callable[..., Release]) -> None:
    mine = release("a" * 53, values={"until": "describe"})
    mine.install()
    code, words = mine.ended()
    assert code == 0, words
    for pod in cluster.list("pods", NAMESPACE):
        assert all(len(value) <= 63 for value in pod["metadata"]["labels"].values())
        assert len(pod["spec"].get("hostname", "")) <= 63
