"""CronJobs start Jobs by a clock or when a test says so, one at a time where they must, and keep a short history."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from workloads import end_of, events_about, job

from tests.fakekube import ApiError, Cluster
from tests.fakekube.crontab import Schedule


def cron(script: str = "true", **spec: Any) -> dict[str, Any]:
    template = {"spec": job("any", script, backoffLimit=0)["spec"]}
    whole = {"schedule": "0 3 * * *", "jobTemplate": template, **spec}
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "nightly"}, "spec": whole}


def active(cluster: Cluster) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = cluster.get("cronjobs", "nightly")["status"].get("active", [])
    return found


def test_a_tick_starts_a_job_that_the_cron_job_owns(cluster: Cluster) -> None:
    cluster.create(cron("sleep 60"))
    name = cluster.tick_cron("nightly")
    assert name is not None
    owner = cluster.get("jobs", name)["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["name"], owner["controller"]) == ("CronJob", "nightly", True)
    assert [one["name"] for one in active(cluster)] == [name]


def test_ticks_start_jobs_of_different_names(cluster: Cluster) -> None:
    cluster.create(cron())
    names = {cluster.tick_cron("nightly") for _ in range(3)}
    assert len(names) == 3


def test_forbid_waits_for_the_running_job(cluster: Cluster) -> None:
    cluster.create(cron("sleep 0.3", concurrencyPolicy="Forbid"))
    first = cluster.tick_cron("nightly")
    assert first is not None
    assert cluster.tick_cron("nightly") is None
    assert any(reason == "JobAlreadyActive" for reason, _ in events_about(cluster, "nightly"))
    end_of(cluster, first)
    assert cluster.tick_cron("nightly") not in (None, first)


def test_replace_ends_the_running_job(cluster: Cluster) -> None:
    cluster.create(cron("sleep 60", concurrencyPolicy="Replace"))
    first = cluster.tick_cron("nightly")
    second = cluster.tick_cron("nightly")
    assert first is not None
    cluster.wait(lambda: not cluster.exists("jobs", first))
    assert [one["name"] for one in active(cluster)] == [second]


def test_a_suspended_schedule_starts_nothing(cluster: Cluster) -> None:
    cluster.create(cron(suspend=True))
    assert cluster.tick_cron("nightly") is None
    assert cluster.list("jobs") == []


def test_only_so_many_ended_jobs_are_kept(cluster: Cluster) -> None:
    cluster.create(cron(successfulJobsHistoryLimit=1))
    names = []
    for _ in range(3):
        name = cluster.tick_cron("nightly")
        assert name is not None
        end_of(cluster, name)
        names.append(name)
    cluster.wait(lambda: [one["metadata"]["name"] for one in cluster.list("jobs")] == names[-1:])
    assert cluster.get("cronjobs", "nightly")["status"]["lastSuccessfulTime"]


def test_the_clock_starts_a_job_at_its_minute() -> None:
    time = [datetime.now(UTC)]
    with Cluster(clock=lambda: time[0]) as cluster:
        cluster.create(cron())
        cluster.create(job("nudge"))
        end_of(cluster, "nudge")
        assert [one["metadata"]["name"] for one in cluster.list("jobs")] == ["nudge"]
        time[0] = (time[0] + timedelta(days=1)).replace(hour=3, minute=0)
        cluster.create(job("nudge-again"))
        minutes = int(time[0].timestamp()) // 60
        cluster.wait(lambda: cluster.exists("jobs", f"nightly-{minutes}"))


def test_deleting_a_cron_job_takes_its_jobs_with_it(cluster: Cluster) -> None:
    cluster.create(cron("sleep 60"))
    cluster.tick_cron("nightly")
    cluster.delete("cronjobs", "nightly")
    cluster.wait(lambda: not cluster.list("jobs") and not cluster.list("pods"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schedule": "0 3 * *"}, "expected exactly 5 fields"),
        ({"schedule": "0 25 * * *"}, "is not between 0 and 23"),
        ({"concurrencyPolicy": "Wait"}, 'supported values: "Allow", "Forbid", "Replace"'),
    ],
)
def test_a_wrong_cron_job_is_refused(cluster: Cluster, change: dict[str, Any], words: str) -> None:
    with pytest.raises(ApiError) as refused:
        cluster.create(cron(**change))
    assert refused.value.code == 422
    assert words in refused.value.message


def test_a_cron_jobs_name_leaves_room_for_its_jobs(cluster: Cluster) -> None:
    manifest = cron()
    manifest["metadata"]["name"] = "n" * 53
    with pytest.raises(ApiError, match="must be no more than 52 characters"):
        cluster.create(manifest)


@pytest.mark.parametrize(
    ("schedule", "at", "due"),
    [
        ("0 3 * * *", "2026-11-22 03:00", True),
        ("0 3 * * *", "2026-11-22 03:01", False),
        ("*/15 * * * *", "2026-11-22 10:45", True),
        ("0 3 * * 1-5", "2026-11-22 03:00", False),  # a Sunday
        ("0 3 * * 0", "2026-11-22 03:00", True),
        ("0 3 * * 7", "2026-11-22 03:00", True),
        ("0 3 1 * 0", "2026-11-22 03:00", True),  # either day will do
        ("0 3 1,15 * *", "2026-11-22 03:00", False),
        ("@daily", "2026-11-22 00:00", True),
    ],
)
def test_schedules_are_read_as_cron_does(schedule: str, at: str, due: bool) -> None:
    assert Schedule(schedule).is_due(datetime.strptime(at, "%Y-%m-%d %H:%M").replace(tzinfo=UTC)) is due
