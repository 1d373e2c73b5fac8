"""Runs of a CronJob, started by its schedule or manually, as CI does."""

from __future__ import annotations

import json
from collections.abc import Callable

from release import NAMESPACE, Release

from skutune.pipeline import runs
from skutune.store import open_store
from tests.fakekube import Cluster


def test_a_manually_started_run_reuses_the_rows_of_the_previous_run(
    cluster: Cluster, make_release: Callable[..., Release]
) -> None:
    release = make_release(values={"until": "", "schedule": {"cron": "0 3 * * *", "suspend": True}})
    release.values["until"] = "question"
    release.install()
    assert release.controller_jobs() == []

    release.kubectl("create", "job", "--from=cronjob/fall-skutune", "nightly-1")
    code, message = release.wait_until_ended()
    assert code == 0, f"{message}\n{release.controller_log()}"
    store = open_store(release.store)
    first = runs.require_run(store, "sample-nightly-1")
    runs.set_latest(store, "sample-nightly-1")  # as a complete run does at its end

    changed = (release.folder / "grocery.csv").read_text().splitlines()
    changed[1] = changed[1].replace(changed[1].split(",")[1], "Smoked Paprika Hummus")
    (release.folder / "grocery.csv").write_text("\n".join(changed) + "\n")
    release.upload(release.folder / "grocery.csv")
    release.kubectl("create", "job", "--from=cronjob/fall-skutune", "nightly-2")
    assert cluster.wait(lambda: len(release.controller_jobs()) == 2, 10)
    assert cluster.wait(lambda: _has_ended(release, "nightly-2"), 120), release.controller_log()
    second = runs.require_run(store, "sample-nightly-2")
    assert second.base == "sample-nightly-1"
    assert second.buckets == first.buckets
    _, manifest = runs.stage_output(store, second, "question")
    assert manifest.stats.items - manifest.stats.reused == 1, "only the changed product was asked about again"


def test_an_upgrade_does_not_affect_a_scheduled_run_even_if_its_controller_restarts(
    cluster: Cluster, make_release: Callable[..., Release]
) -> None:
    release = make_release(values={"until": "recommend", "schedule": {"cron": "0 3 * * *", "suspend": True}})
    release.install()
    release.kubectl("create", "job", "--from=cronjob/fall-skutune", "nightly-1")
    release.run = "sample-nightly-1"
    release.wait_for("question/")
    release.values["config"]["stages"]["question"]["per_product"] = 1
    release.upgrade()
    (controller,) = release.pods("controller")
    cluster.evict(controller, NAMESPACE)
    code, message = release.wait_until_ended()
    assert code == 0, f"{message}\n{release.controller_log()}"
    store = open_store(release.store)
    _, manifest = runs.stage_output(store, runs.require_run(store, release.run), "question")
    assert manifest.rows() > 12, "the run changed its settings during the run"


def _has_ended(release: Release, job: str) -> bool:
    found = release.cluster.get("jobs", job, NAMESPACE)
    return any(each["type"] == "Complete" for each in (found or {})["status"].get("conditions") or [])


def test_the_schedule_never_starts_two_runs_at_once(cluster: Cluster, make_release: Callable[..., Release]) -> None:
    release = make_release(values={"until": "describe", "schedule": {"cron": "* * * * *"}})
    release.install()
    cluster.tick_cron("fall-skutune", NAMESPACE)
    cluster.tick_cron("fall-skutune", NAMESPACE)
    (job,) = release.controller_jobs()
    code, message = release.wait_until_ended()
    assert code == 0, message
    name = job["metadata"]["name"]
    assert runs.require_run(open_store(release.store), f"sample-{name}").owner == "shop/fall"
    release.uninstall()
    left = json.loads(release.kubectl("get", "jobs,cronjobs,pods", "-o", "json"))["items"]
    assert left == []
