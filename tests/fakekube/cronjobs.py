"""The CronJob controller: creates Jobs at scheduled minutes of a test clock, or when a test triggers it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from . import events
from .clock import FORMAT
from .crontab import Schedule
from .deletion import delete
from .problems import Object
from .resources import named
from .store import Name, Store

_SOURCE = "cronjob-controller"


def real_time() -> datetime:
    return datetime.now(UTC)


class CronJobController:
    """`clock` tells the time; `tick` starts a run at once, as if the schedule said so."""

    def __init__(self, store: Store, clock: Callable[[], datetime] = real_time):
        self.store, self.clock = store, clock

    def sync(self) -> None:
        for name, cron in list(self.store.table("cronjobs").items()):
            if cron["metadata"].get("deletionTimestamp"):
                continue
            self._follow(name, cron)
            due = Schedule(cron["spec"]["schedule"]).latest(_last(cron), self.clock())
            if due is not None:
                self._start(name, self.store.get(named("cronjobs"), *name), due)

    def tick(self, name: Name) -> Object | None:
        """One scheduled time passes: the Job that it starts, or None (suspended, or Forbid and one is running)."""
        with self.store.lock:
            cron = self.store.get(named("cronjobs"), *name)
            self._follow(name, cron)
            cron = self.store.get(named("cronjobs"), *name)
            minute = self.clock().replace(second=0, microsecond=0)
            return self._start(name, cron, max(minute, _last(cron) + timedelta(minutes=1)))

    def _jobs(self, cron: Object) -> list[tuple[Name, Object]]:
        uid = cron["metadata"]["uid"]
        owned = [
            (name, job)
            for name, job in self.store.table("jobs").items()
            if any(o["uid"] == uid and o.get("controller") for o in job["metadata"].get("ownerReferences") or [])
        ]
        return sorted(owned, key=lambda item: item[1]["metadata"]["creationTimestamp"])

    def _follow(self, name: Name, cron: Object) -> None:
        """Drop ended Jobs from the status, and delete those beyond the history limits."""
        jobs = self._jobs(cron)
        ended = [job["status"]["completionTime"] for _, job in jobs if _end(job) == "Complete"]
        ends = {job["metadata"]["uid"]: _end(job) for _, job in jobs}
        known = (cron.get("status") or {}).get("active") or []
        running = [reference for reference in known if ends.get(reference["uid"], "gone") is None]

        def change(found: Object) -> None:
            found["status"]["active"] = running
            if not running:
                del found["status"]["active"]
            if ended:
                found["status"]["lastSuccessfulTime"] = max(ended)

        self.store.update(named("cronjobs"), *name, change, subresource="status")
        for reference in known:
            if end := ends.get(reference["uid"]):
                told = f"Saw completed job: {reference['name']}, condition: {end}"
                events.emit(self.store, named("cronjobs"), cron, "SawCompletedJob", told, source=_SOURCE)
        limits = (("Complete", "successfulJobsHistoryLimit"), ("Failed", "failedJobsHistoryLimit"))
        for end, limit in limits:
            old = [job_name for job_name, job in jobs if _end(job) == end]
            for job_name in old[: max(0, len(old) - cron["spec"][limit])]:
                delete(self.store, named("jobs"), *job_name, {"propagationPolicy": "Background"})

    def _start(self, name: Name, cron: Object, due: datetime) -> Object | None:
        if cron["spec"].get("suspend"):
            return None
        active = {reference["uid"] for reference in (cron.get("status") or {}).get("active") or []}
        # A Job that somebody made from this CronJob by hand is not counted: so does the real controller.
        running = [item for item in self._jobs(cron) if item[1]["metadata"]["uid"] in active]
        policy = cron["spec"]["concurrencyPolicy"]
        if running and policy == "Forbid":
            told = "Not starting job because prior execution is running and concurrency policy is Forbid"
            events.emit(self.store, named("cronjobs"), cron, "JobAlreadyActive", told, source=_SOURCE)
            self._note(name, due, [job for _, job in running])
            return None
        for job_name, _ in running if policy == "Replace" else []:
            delete(self.store, named("jobs"), *job_name, {"propagationPolicy": "Background"})
        job = self.store.create(named("jobs"), name[0], job_of(cron, due))
        told = f"Created job {job['metadata']['name']}"
        events.emit(self.store, named("cronjobs"), cron, "SuccessfulCreate", told, source=_SOURCE)
        self._note(name, due, [*(one for _, one in running if policy == "Allow"), job])
        return job

    def _note(self, name: Name, due: datetime, running: list[Object]) -> None:
        def change(cron: Object) -> None:
            references = [_reference(job) for job in running]
            cron["status"] |= {"active": references, "lastScheduleTime": due.strftime(FORMAT)}

        self.store.update(named("cronjobs"), *name, change, subresource="status")


def job_of(cron: Object, due: datetime) -> Object:
    """The Job of one scheduled time, which gives it its name: the same time never starts two."""
    template, metadata = copy.deepcopy(cron["spec"]["jobTemplate"]), cron["metadata"]
    given = template.get("metadata") or {}
    owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": metadata["name"], "uid": metadata["uid"]}
    stamp = {"batch.kubernetes.io/cronjob-scheduled-timestamp": due.strftime(FORMAT)}
    return {
        "metadata": {
            "name": f"{metadata['name']}-{int(due.timestamp()) // 60}",
            "labels": given.get("labels") or {},
            "annotations": {**(given.get("annotations") or {}), **stamp},
            "ownerReferences": [{**owner, "controller": True, "blockOwnerDeletion": True}],
        },
        "spec": template["spec"],
    }


def _last(cron: Object) -> datetime:
    """The last time that was acted on; the CronJob's making before that."""
    written = (cron.get("status") or {}).get("lastScheduleTime") or cron["metadata"]["creationTimestamp"]
    return datetime.strptime(written, FORMAT).replace(tzinfo=UTC)


def _end(job: Object) -> str | None:
    for condition in (job.get("status") or {}).get("conditions") or []:
        if condition["type"] in ("Complete", "Failed") and condition["status"] == "True":
            return str(condition["type"])
    return None


def _reference(job: Object) -> Object:
    metadata = job["metadata"]
    reference = {"kind": "Job", "apiVersion": "batch/v1", "name": metadata["name"], "uid": metadata["uid"]}
    return {**reference, "namespace": metadata["namespace"]}
