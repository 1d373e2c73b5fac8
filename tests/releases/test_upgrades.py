"""Upgrades, roll-backs and reruns of a release."""

from __future__ import annotations

from collections.abc import Callable

import kubernetes_tools
from release import NAMESPACE, Release, merge_values

from tests.fakekube import Cluster


def _names(jobs: list[dict[str, object]]) -> set[str]:
    return {job["metadata"]["uid"] for job in jobs}  # type: ignore[index]


def test_upgrades_and_rollbacks_resume_and_are_no_ops_without_changes(
    cluster: Cluster, make_release: Callable[..., Release]
) -> None:
    release = make_release(helm=kubernetes_tools.helm4(), values={"until": "recommend"})
    release.install()
    release.wait_for("question/")
    first = _names(release.controller_jobs())
    release.upgrade()
    assert _names(release.controller_jobs()) == first, "an upgrade without changes started a new Job"

    release.values = merge_values(release.values, {"config": {"stages": {"question": {"per_product": 3}}}})
    release.upgrade()
    code, message = release.wait_until_ended()
    assert code == 0, f"{message}\n{release.controller_log()}"
    second = _names(release.controller_jobs())
    assert not first & second, "the old controller's Job still exists"
    owners = {job["metadata"]["ownerReferences"][0]["uid"] for job in release.jobs(**{"skutune.io/run": "sample"})}
    assert owners == second, "stage Jobs of the old controller still exist"
    assert _attempts_of_ingest(release) == 1, "a completed stage ran again"

    release.run_helm("rollback", release.name, "1")
    code, message = release.wait_until_ended()
    assert code == 0, f"{message}\n{release.controller_log()}"
    assert cluster.peak("nvidia.com/gpu") <= 8


def _attempts_of_ingest(release: Release) -> int:
    from skutune.store import open_store

    return sum("/task-a" in info.key for info in open_store(release.store).list(f"{release.run}/ingest/"))


def test_a_changed_rerun_starts_a_new_controller(make_release: Callable[..., Release]) -> None:
    release = make_release(values={"until": "ingest"})
    release.install()
    assert release.wait_until_ended()[0] == 0
    before = _names(release.controller_jobs())
    release.values["rerun"] = 1
    release.upgrade()
    assert release.wait_until_ended()[0] == 0
    assert not before & _names(release.controller_jobs())
    assert _attempts_of_ingest(release) == 1


def test_the_longest_release_name_works(cluster: Cluster, make_release: Callable[..., Release]) -> None:
    release = make_release("a" * 53, values={"until": "describe"})
    release.install()
    code, message = release.wait_until_ended()
    assert code == 0, message
    for pod in cluster.list("pods", NAMESPACE):
        assert all(len(value) <= 63 for value in pod["metadata"]["labels"].values())
        assert len(pod["spec"].get("hostname", "")) <= 63
