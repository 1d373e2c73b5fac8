"""What a Job's spec says about its pods' ends: pure functions over a Job, its pods and what was counted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from .problems import Object

INDEX = "batch.kubernetes.io/job-completion-index"


@dataclass
class Counted:
    """What a Job's controller remembers of pods that have ended."""

    uids: set[str] = field(default_factory=set)
    succeeded: int = 0
    failed: int = 0
    done: set[int] = field(default_factory=set)  # indexes
    bad: set[int] = field(default_factory=set)  # indexes that failed for good
    failures: dict[int, int] = field(default_factory=dict)  # counted failures of an index
    last_failure: dict[int, float] = field(default_factory=dict)
    streak: int = 0  # failures since the last success
    started: float | None = None
    finished: float | None = None
    refused: float = 0.0
    last_end: float = 0.0


def is_indexed(job: Object) -> bool:
    return bool(job["spec"].get("completionMode") == "Indexed")


def index_of(job: Object, pod: Object) -> int:
    """A pod's completion index; -1 in a Job without."""
    if not is_indexed(job):
        return -1
    return int((pod["metadata"].get("annotations") or {}).get(INDEX, -1))


def action(job: Object, pod: Object) -> tuple[str, str]:
    """(Count, Ignore, FailIndex or FailJob; the message) for a failed pod: the first rule that fits."""
    where = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
    for number, rule in enumerate((job["spec"].get("podFailurePolicy") or {}).get("rules") or []):
        told = f"matching {rule['action']} rule at index {number}"
        if (codes := rule.get("onExitCodes")) and (found := _exit(codes, pod)):
            return rule["action"], f"Container {found[0]} for pod {where} failed with exit code {found[1]} {told}"
        for wanted in rule.get("onPodConditions") or []:
            if _has_condition(pod, wanted):
                return rule["action"], f"Pod {where} has condition {wanted['type']} {told}"
    return "Count", ""


def _exit(codes: Object, pod: Object) -> tuple[str, int] | None:
    for kind in ("initContainerStatuses", "containerStatuses"):
        for status in pod["status"].get(kind) or []:
            code = ((status.get("state") or {}).get("terminated") or {}).get("exitCode", 0)
            named = codes.get("containerName") in (None, status["name"])
            if code and named and (code in codes["values"]) == (codes["operator"] == "In"):
                return status["name"], code
    return None


def _has_condition(pod: Object, wanted: Object) -> bool:
    conditions = pod["status"].get("conditions") or []
    return any(one["type"] == wanted["type"] and one["status"] == wanted.get("status", "True") for one in conditions)


def succeeded(job: Object, counted: Counted) -> int:
    if not is_indexed(job):
        return counted.succeeded
    return len({index for index in counted.done if index < job["spec"]["completions"]})


def failure(job: Object, counted: Counted, restarts: int, now: float) -> tuple[str, str] | None:
    """(reason, message) where the Job has failed by a limit."""
    spec, limit = job["spec"], job["spec"]["backoffLimit"]
    if counted.failed > limit or (restarts and restarts >= max(limit, 1)):
        return "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    seconds = spec.get("activeDeadlineSeconds")
    if seconds is not None and counted.started and not spec.get("suspend") and now - counted.started >= seconds:
        return "DeadlineExceeded", "Job was active longer than specified deadline"
    if spec.get("maxFailedIndexes") is not None and len(counted.bad) > spec["maxFailedIndexes"]:
        return "MaxFailedIndexesExceeded", "Job has exceeded the specified maximal number of failed indexes"
    return None


def success(job: Object, counted: Counted, active: int) -> tuple[str, str] | None:
    """(reason, message) where enough pods have succeeded."""
    wanted = job["spec"].get("completions")
    for number, rule in enumerate((job["spec"].get("successPolicy") or {}).get("rules") or []):
        indexes = parse_spans(rule.get("succeededIndexes") or f"0-{(wanted or 1) - 1}")
        if len(indexes & counted.done) >= rule.get("succeededCount", len(indexes)):
            return "SuccessPolicy", f"Matched rules at index {number}"
    enough = succeeded(job, counted) >= wanted if wanted is not None else counted.succeeded > 0 and not active
    return ("CompletionsReached", "Reached expected number of succeeded pods") if enough else None


def no_index_left(job: Object, counted: Counted) -> bool:
    """Has every index ended, some of them badly?"""
    ended = len(counted.done | counted.bad)
    return is_indexed(job) and bool(counted.bad) and ended >= job["spec"]["completions"]


def spans(indexes: Iterable[int]) -> str:
    """{0,1,2,5} as the API writes it: `0-2,5`."""
    runs: list[list[int]] = []
    for index in sorted(indexes):
        if runs and runs[-1][1] == index - 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return ",".join(str(a) if a == b else f"{a},{b}" if b == a + 1 else f"{a}-{b}" for a, b in runs)


def parse_spans(text: str) -> set[int]:
    """The reverse of `spans`."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found
