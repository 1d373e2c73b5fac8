"""The Job controller: pods for Indexed and plain Jobs, retries, failure policies, limits, suspension, time to live.

One round looks at a Job, its pods and what was counted before; it counts what has ended, decides whether the Job is
ending, then deletes or creates pods. What a round decides by rule stands in `job_rules`.
"""

from __future__ import annotations

import copy
import time
from collections import defaultdict
from dataclasses import dataclass

from . import events, job_rules
from .clock import now
from .deletion import delete
from .job_pods import is_going, is_ready, is_tracked, pod_of, untrack
from .job_rules import Counted
from .problems import ApiError, Object
from .resources import named
from .store import Name, Store

_SOURCE = "job-controller"
_CONTROLLER = "kubernetes.io/job-controller"
_LONGEST_BACKOFF_SECONDS = 360.0
_REFUSED_SECONDS = 1.0
_BATCH_SECONDS = 0.06  # pods that end together are counted together before others start


class JobController:
    """Reconciles all Jobs. A failed pod is replaced after `backoff_seconds`, doubled with every further failure."""

    def __init__(self, store: Store, backoff_seconds: float = 0.2):
        self.store, self.backoff_seconds = store, backoff_seconds
        self.counted: dict[str, Counted] = defaultdict(Counted)

    def sync(self) -> None:
        jobs = self.store.table("jobs")
        alive = {job["metadata"]["uid"] for job in jobs.values() if not job["metadata"].get("deletionTimestamp")}
        owned: dict[str, list[tuple[Name, Object]]] = defaultdict(list)
        for name, pod in list(self.store.table("pods").items()):
            owners = pod["metadata"].get("ownerReferences") or []
            if is_tracked(pod) and not any(owner["uid"] in alive for owner in owners):
                untrack(self.store, name)  # orphaned, or of a Job that is being deleted
            for owner in owners:
                if owner.get("controller"):
                    owned[owner["uid"]].append((name, pod))
        for name, job in list(jobs.items()):
            uid = job["metadata"]["uid"]
            if uid in alive and job["spec"].get("managedBy", _CONTROLLER) == _CONTROLLER:
                Round(self, name, job, owned[uid]).go()

    def next_due(self) -> float:
        """Seconds until a round is due without any change: backoffs, deadlines and times to live are short in tests."""
        unfinished = any(not _is_finished(job) or _lives_on(job) for job in self.store.table("jobs").values())
        return 0.05 if unfinished else 1.0


def _is_finished(job: Object) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or []
    return any(one["type"] in ("Complete", "Failed") and one["status"] == "True" for one in conditions)


def _lives_on(job: Object) -> bool:
    return job["spec"].get("ttlSecondsAfterFinished") is not None


@dataclass
class Active:
    """A pod that has not ended and is not being deleted."""

    name: Name
    pod: Object
    index: int


class Round:
    """One look at one Job."""

    def __init__(self, controller: JobController, name: Name, job: Object, pods: list[tuple[Name, Object]]):
        self.controller, self.store = controller, controller.store
        self.name, self.job, self.spec, self.pods = name, job, job["spec"], pods
        self.status = copy.deepcopy(job.get("status") or {})
        self.conditions: list[Object] = self.status.setdefault("conditions", [])
        self.counted = controller.counted[job["metadata"]["uid"]]
        self.indexed, self.per_index = job_rules.is_indexed(job), self.spec.get("backoffLimitPerIndex") is not None
        self.active: list[Active] = []
        self.terminating = 0
        self.fatal: tuple[str, str] | None = None

    def go(self) -> None:
        if _is_finished(self.job):
            return self._expire()
        if not self.spec.get("suspend") and not self.status.get("startTime"):
            self.status["startTime"], self.counted.started = now(), time.time()
        for name, pod in self.pods:
            self._count(name, pod)
        if not self._is_ending():
            self._judge()
        self._suspend_or_resume()
        if not self._delete_surplus() and not self._is_ending() and not self.spec.get("suspend"):
            self._create_missing()
        self._write_counts()
        self._finish()
        if not self.conditions:
            del self.status["conditions"]
        self.store.update(named("jobs"), *self.name, lambda job: {**job, "status": self.status}, subresource="status")
        return None

    # ---- conditions and events
    def _is(self, kind: str) -> bool:
        return any(one["type"] == kind and one["status"] == "True" for one in self.conditions)

    def _is_ending(self) -> bool:
        return self._is("FailureTarget") or self._is("SuccessCriteriaMet")

    def _set(self, kind: str, status: str, reason: str, message: str) -> bool:
        """Set a condition; False where it stood so already."""
        found = next((one for one in self.conditions if one["type"] == kind), None)
        if found and found["status"] == status:
            return False
        if found:
            self.conditions.remove(found)
        dated = {"lastProbeTime": now(), "lastTransitionTime": now()}
        self.conditions.append({"type": kind, "status": status, **dated, "reason": reason, "message": message})
        return True

    def _tell(self, reason: str, message: str, warning: bool = False) -> None:
        events.emit(self.store, named("jobs"), self.job, reason, message, source=_SOURCE, warning=warning)

    # ---- counting
    def _count(self, name: Name, pod: Object) -> None:
        index, uid = job_rules.index_of(self.job, pod), pod["metadata"]["uid"]
        phase = pod["status"].get("phase")
        if phase not in ("Succeeded", "Failed"):
            if pod["metadata"].get("deletionTimestamp"):
                self.terminating += 1
            else:
                self.active.append(Active(name, pod, index))
            return
        if uid not in self.counted.uids:
            self.counted.uids.add(uid)
            self.counted.last_end = time.time()
            self._count_success(index) if phase == "Succeeded" else self._count_failure(pod, index)
        if is_tracked(pod):
            untrack(self.store, name)

    def _count_success(self, index: int) -> None:
        self.counted.succeeded += 1
        self.counted.done.add(index)
        self.counted.streak = 0

    def _count_failure(self, pod: Object, index: int) -> None:
        counted = self.counted
        action, message = ("Count", "") if self._is("FailureTarget") else job_rules.action(self.job, pod)
        if action != "Ignore":
            counted.failed += 1
            counted.streak += 1
            counted.failures[index] = counted.failures.get(index, 0) + 1
            counted.last_failure[index] = time.time()
        if action == "FailJob":
            self.fatal = ("PodFailurePolicy", message)
        over = self.per_index and counted.failures.get(index, 0) > self.spec["backoffLimitPerIndex"]
        if action == "FailIndex" or over:
            counted.bad.add(index)

    # ---- deciding
    def _judge(self) -> None:
        restarts = sum(
            status.get("restartCount", 0)
            for one in self.active
            for status in one.pod["status"].get("containerStatuses") or []
        )
        failed = self.fatal or job_rules.failure(self.job, self.counted, restarts, time.time())
        reached = None if failed else job_rules.success(self.job, self.counted, len(self.active))
        if not failed and not reached and job_rules.no_index_left(self.job, self.counted):
            failed = ("FailedIndexes", "Job has failed indexes")
        if failed:
            self._set("FailureTarget", "True", *failed)
        elif reached:
            self._set("SuccessCriteriaMet", "True", *reached)

    def _suspend_or_resume(self) -> None:
        if self.spec.get("suspend") and not self._is_ending():
            if self._set("Suspended", "True", "JobSuspended", "Job suspended"):
                self._tell("Suspended", "Job suspended")
            self.status.pop("startTime", None)
            self.counted.started = None
        elif self._is("Suspended") and not self.spec.get("suspend"):
            self._set("Suspended", "False", "JobResumed", "Job resumed")
            self._tell("Resumed", "Job resumed")

    # ---- pods
    def _surplus(self) -> list[Active]:
        if self._is_ending() or self.spec.get("suspend"):
            return list(self.active)
        if self.indexed:
            out = [one for one in self.active if one.index >= self.spec["completions"] or one.index in self.counted.bad]
            if out:
                return out
        return self.active[self.spec["parallelism"] :]

    def _delete_surplus(self) -> bool:
        surplus = self._surplus()
        for one in surplus:
            if not self._is("FailureTarget"):  # deleted by us: no failure of the pod's
                self.counted.uids.add(one.pod["metadata"]["uid"])
                untrack(self.store, one.name)
            delete(self.store, named("pods"), *one.name)
            self._tell("SuccessfulDelete", f"Deleted pod: {one.name[1]}")
            self.active.remove(one)
            self.terminating += 1
        return bool(surplus)

    def _create_missing(self) -> None:
        if time.time() - self.counted.last_end < _BATCH_SECONDS:
            return
        for index in self._wanted():
            if self._rests(index):
                continue
            pod = self._create(index)
            if pod is None:
                return
            self.active.append(Active((self.name[0], pod["metadata"]["name"]), pod, index))

    def _wanted(self) -> list[int]:
        """The indexes to start now; -1 for each pod of a plain Job."""
        parallelism, completions = self.spec["parallelism"], self.spec.get("completions")
        waits_for_end = self.spec.get("podReplacementPolicy") == "Failed"
        busy = len(self.active) + (self.terminating if waits_for_end else 0)
        if completions is None:
            open_slots = parallelism if not self.counted.succeeded else len(self.active)
        else:
            open_slots = min(parallelism, completions - job_rules.succeeded(self.job, self.counted))
        missing = max(open_slots - busy, 0)
        if not self.indexed:
            return [-1] * missing
        taken = {one.index for one in self.active} | self.counted.done | self.counted.bad
        if waits_for_end:
            taken |= {job_rules.index_of(self.job, pod) for _, pod in self.pods if is_going(pod)}
        return [index for index in range(completions) if index not in taken][:missing]

    def _rests(self, index: int) -> bool:
        """Is it too early to try again? With limits per index, each index has a backoff of its own."""
        counted = self.counted
        failures = counted.failures.get(index, 0) if self.per_index else counted.streak
        if not failures:
            return False
        last = (
            counted.last_failure.get(index, 0.0) if self.per_index else max(counted.last_failure.values(), default=0.0)
        )
        pause = self.controller.backoff_seconds * 2 ** (failures - 1)
        return bool(time.time() - last < min(pause, _LONGEST_BACKOFF_SECONDS))

    def _create(self, index: int) -> Object | None:
        """A pod; None where the API refuses it, which only an Event of the Job tells."""
        if time.time() - self.counted.refused < _REFUSED_SECONDS:
            return None
        failures = self.counted.failures.get(index, 0) if self.per_index else None
        try:
            made = self.store.create(named("pods"), self.name[0], pod_of(self.job, index, failures))
        except ApiError as refused:
            self.counted.refused = time.time()
            self._tell("FailedCreate", f"Error creating: {refused.message}", warning=True)
            return None
        self._tell("SuccessfulCreate", f"Created pod: {made['metadata']['name']}")
        return made

    # ---- status
    def _write_counts(self) -> None:
        ready = sum(is_ready(one.pod) for one in self.active)
        self.status |= {"ready": ready, "terminating": self.terminating, "uncountedTerminatedPods": {}}
        counts = {"active": len(self.active), "failed": self.counted.failed}
        counts["succeeded"] = job_rules.succeeded(self.job, self.counted)
        for field, count in counts.items():
            if count:
                self.status[field] = count
            else:
                self.status.pop(field, None)
        if self.indexed and self.counted.done:
            self.status["completedIndexes"] = job_rules.spans(self.counted.done)
        if self.per_index:
            self.status["failedIndexes"] = job_rules.spans(self.counted.bad)

    def _finish(self) -> None:
        """The Job ends when the last of its pods has ended."""
        if not self._is_ending() or self.active or self.terminating:
            return
        target = next(one for one in self.conditions if one["type"] in ("FailureTarget", "SuccessCriteriaMet"))
        if target["type"] == "FailureTarget":
            self._set("Failed", "True", target["reason"], target["message"])
            self._tell(target["reason"], target["message"], warning=True)
        else:
            self._set("Complete", "True", target["reason"], target["message"])
            self.status["completionTime"] = now()
            self._tell("Completed", "Job completed")

    def _expire(self) -> None:
        seconds = self.spec.get("ttlSecondsAfterFinished")
        if self.counted.finished is None:
            self.counted.finished = time.time()
        if seconds is not None and time.time() - self.counted.finished >= seconds:
            delete(self.store, named("jobs"), *self.name, {"propagationPolicy": "Background"})
