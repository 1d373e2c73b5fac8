"""Runs of a CronJob, started by hand as a CI does."""

from __future__ import annotations

import json
from collections.abc import Callable

from release import NAMESPACE, Release

from skutune.pipeline import runs
from skutune.store import open_store
from tests.fakekube import Cluster


def test_a_manually_started_run_reuses_the_rows_of_the_previous_run(
    cluster: Cluster, release: Callable[..., Release]
) -> None:
    mine = release(values={"until": "", "schedule": {"cron": "0 3 * * *", "suspend": True}})
    mine.values["until"] = "question"
    mine.install()
    assert mine.controller_jobs() == []

    mine.kubectl("create", "job", "--from=cronjob/fall-skutune", "nightly-1")
    code, words = mine.ended()
    assert code == 0, f"{words}\n{mine.controller_log()}"
    store = open_store(mine.store)
    first = runs.require_run(store, "sample-nightly-1")
    runs.set_latest(store, "sample-nightly-1")  # what a whole run does at its end

    changed = (mine.folder / "grocery.csv").read_text().splitlines()
    changed[1] = changed[1].replace(changed[1].split(",")[1], "Smoked Paprika Hummus")
    (mine.folder / "grocery.csv").write_text("\n".join(changed) + "\n")
    mine.upload(mine.folder / "grocery.csv")
    mine.kubectl("create", "job", "--from=cronjob/fall-skutune", "nightly-2")
    assert cluster.wait(lambda: len(mine.controller_jobs()) == 2, 10)
    assert cluster.wait(lambda: _has_ended(mine, "nightly-2"), 120), mine.controller_log()
    second = runs.require_run(store, "sample-nightly-2")
    assert second.base == "sample-nightly-1"
    assert second.buckets == first.buckets
    _, manifest = runs.stage_output(store, second, "question")
    assert manifest.stats.items - manifest.stats.reused == 1, "only the changed product was asked about again"


def test_an_upgrade_does_not_affect_a_scheduled_run_even_if_its_controller_restarts(
    cluster: Cluster, release: Callable[..., Release]
) -> None:
    mine = release(values={"until": "recommend", "schedule": {"cron": "0 3 * * *", "suspend": True}})
    mine.install()
    mine.kubectl("create", "job", "--from=cronjob/fall-skutune", "nightly-1")
    mine.run = "sample-nightly-1"
    mine.wait_for("question/")
    mine.values["config"]["stages"]["question"]["per_product"] = 1
    mine.upgrade()
    (controller,) = mine.pods("controller")
    cluster.evict(controller, NAMESPACE)
    code, words = mine.ended()
    assert code == 0, f"{words}\n{mine.controller_log()}"
    store = open_store(mine.store)
    _, manifest = runs.stage_output(store, runs.require_run(store, mine.run), "question")
    assert manifest.rows() > 12, "it took over the new settings in mid-run"


def _has_ended(release: Release, job: str) -> bool:
    found = release.cluster.get("jobs", job, NAMESPACE)
    return any(each["type"] == "Complete" for each in (found or {})["status"].get("conditions") or [])


def test_the_schedule_never_starts_two_runs_at_once(cluster: Cluster, release: Callable[..., Release]) -> None:
    mine = release(values={"until": "describe", "schedule": {"cron": "* * * * *"}})
    mine.install()
    cluster.tick_cron("fall-skutune", NAMESPACE)
    cluster.tick_cron("fall-skutune", NAMESPACE)
    (job,) = mine.controller_jobs()
    code, words = mine.ended()
    assert code == 0, words
    name = job["metadata"]["name"]
    assert runs.require_run(open_store(mine.store), f"sample-{name}").owner == "shop/fall"
    mine.uninstall()
    left = json.loads(mine.kubectl("get", "jobs,cronjobs,pods", "-o", "json"))["items"]
    assert left == []
