"""Decisions as a table: a snapshot and the expected actions."""

from __future__ import annotations

from dataclasses import replace

import pytest
from builders import NOW, failed, job, outcome, pending, pod, queued, snapshot, stage

from skutune.cluster.decide import Close, Finish, ForceDelete, Remove, Resize, Start, decide
from skutune.cluster.snapshot import Snapshot

OPEN = {"attempt": 1, "is_open": True}

TABLE = {
    "a ready stage starts": (snapshot(stage("ingest")), [Start("ingest", 1)]),
    "a blocked stage waits": (snapshot(stage("ingest", "blocked", waits_for=("models",))), []),
    "a done stage is left alone and the run is over": (
        snapshot(stage("ingest", "done")),
        [Finish(0, "all stages are done")],
    ),
    "a running Job continues": (snapshot(stage("ingest", **OPEN), jobs=(job("ingest"),), pods=(pod("ingest"),)), []),
    "the deleted Job of an open attempt is created again": (snapshot(stage("ingest", **OPEN)), [Start("ingest", 1)]),
    "eight pods use eight devices": (
        snapshot(stage("describe", plan_devices=1, plan_shards=8, pods=8)),
        [Start("describe", 8)],
    ),
    "a device in use is not granted again": (
        snapshot(
            stage("describe", plan_devices=1, pods=8, **OPEN),
            stage("question", plan_devices=1, pods=8),
            jobs=(job("describe", completions=8, parallelism=6, devices=1),),
        ),
        [Resize("describe", "describe-a1", 8)],
    ),
    "the critical path goes first": (
        snapshot(stage("question", plan_devices=1, pods=8), stage("describe", plan_devices=1, pods=8)),
        [Start("describe", 8)],
    ),
    "free devices go to the next stage": (
        snapshot(stage("describe", plan_devices=1, pods=5), stage("question", plan_devices=1, pods=8)),
        [Start("describe", 5), Start("question", 3)],
    ),
    "a stage that needs all devices blocks the stages after it": (
        snapshot(
            stage("embed", plan_devices=8, pods=1),
            stage("expand", plan_devices=1, pods=4, **OPEN),
            stage("answer", plan_devices=1, pods=2),
            jobs=(job("expand", completions=4, parallelism=2, devices=1),),
        ),
        [],
    ),
    "terminating pods keep their devices": (
        snapshot(stage("finetune", plan_devices=8), pods=(pod("describe", devices=1, deleted=NOW - 5),)),
        [],
    ),
    "the attempt of a finished Job is closed": (
        snapshot(stage("ingest", **OPEN), jobs=(job("ingest", finished="complete", succeeded=1),)),
        ["Close ingest"],
    ),
    "nothing starts in the round that closes an attempt": (
        snapshot(
            stage("ingest", **OPEN),
            stage("models"),
            jobs=(job("ingest", finished="complete", succeeded=1),),
        ),
        ["Close ingest"],
    ),
    "a failed attempt is retried after the backoff": (
        snapshot(stage("ingest", attempt=1, outcomes=(outcome(),))),
        [Start("ingest", 1)],
    ),
    "a failed attempt is not retried during the backoff": (
        snapshot(stage("ingest", attempt=1, outcomes=(outcome(time=NOW - 3),)), retry_seconds=10),
        [],
    ),
    "a retry avoids the node with the faulty device": (
        snapshot(stage("ingest", attempt=1, outcomes=(outcome(code=76, avoid=("n1",)),))),
        [Start("ingest", 1, ("n1",))],
    ),
    "the run fails after the last attempt": (
        snapshot(stage("ingest", attempt=3, outcomes=(outcome(1), outcome(2), outcome(3)))),
        [Finish(75, "ingest (attempt 3): it broke")],
    ),
    "a final outcome is not retried": (
        snapshot(stage("ingest", attempt=1, outcomes=(outcome(code=10, final=True),))),
        [Finish(10, "ingest: it broke")],
    ),
    "an internal error in the last attempt ends the run with exit code 20": (
        snapshot(stage("ingest", plan_attempts=1, attempt=1, outcomes=(outcome(code=1),))),
        [Finish(20, "ingest: it broke")],
    ),
    "a Job that has not started is deleted when another stage has failed": (
        snapshot(
            stage("question", plan_devices=1, attempt=1, outcomes=(outcome(code=20, final=True),)),
            stage("describe", plan_devices=1, pods=1, **OPEN),
            jobs=(job("describe", devices=1),),
            pods=(queued("describe", "0/1 nodes are available"),),
        ),
        ["Remove describe-a1"],
    ),
    "devices held by another run of the release are not granted": (
        replace(snapshot(stage("describe", plan_devices=1, plan_shards=8, pods=8)), held_by_other_runs=6),
        [Start("describe", 2)],
    ),
    "pods of a deleted Job of the same name keep their devices": (
        snapshot(
            stage("describe", plan_devices=1, pods=8, **OPEN),
            jobs=(job("describe", completions=8, parallelism=2, devices=1),),
            pods=tuple(pod("describe", i, name=f"old-{i}", devices=1, job_uid="before") for i in range(2)),
        ),
        [Resize("describe", "describe-a1", 6)],
    ),
    "a Job whose inputs are being regenerated is deleted": (
        snapshot(stage("describe", "blocked", waits_for=("ingest",)), stage("ingest"), jobs=(job("describe"),)),
        ["Remove describe-a1", Start("ingest", 1)],
    ),
    "nothing starts after a stage has failed, but running Jobs may finish": (
        snapshot(
            stage("question", plan_devices=1, attempt=1, outcomes=(outcome(code=20, final=True),)),
            stage("describe", plan_devices=1, pods=4, **OPEN),
            stage("models"),
            jobs=(job("describe", completions=4, parallelism=2, devices=1),),
            pods=(pod("describe", devices=1),),
        ),
        [],
    ),
    "a Job with another fingerprint is deleted": (
        snapshot(stage("ingest", **OPEN), jobs=(job("ingest", fingerprint="old", name="old"), job("ingest"))),
        ["Remove old"],
    ),
    "the failed Job of an earlier attempt is deleted": (
        snapshot(
            stage("ingest", attempt=2, is_open=True), jobs=(job("ingest", 1, finished="failed"), job("ingest", 2))
        ),
        ["Remove ingest-a1"],
    ),
    "the failed Job of a done stage is deleted": (
        snapshot(stage("ingest", "done"), jobs=(job("ingest", finished="failed"),)),
        ["Remove ingest-a1"],
    ),
    "a completed Job is kept for kubectl": (
        snapshot(stage("ingest", "done"), jobs=(job("ingest", finished="complete"),)),
        [Finish(0, "all stages are done")],
    ),
    "a Job of the previous controller is left to garbage collection": (
        snapshot(stage("ingest", attempt=1), jobs=(job("ingest", owner_uid="before"),)),
        [],
    ),
    "an orphaned Job is deleted": (
        snapshot(stage("ingest", attempt=1), jobs=(job("ingest", owner_uid=""),)),
        ["Remove ingest-a1"],
    ),
    "the parallelism of Jobs in a Kueue queue is not changed": (
        snapshot(
            stage("describe", plan_devices=1, pods=8, **OPEN),
            jobs=(job("describe", completions=8, parallelism=4, devices=1),),
            kueue=True,
        ),
        [],
    ),
    "with Kueue a stage starts with all its pods or not at all": (
        snapshot(
            stage("describe", plan_devices=1, pods=6, **OPEN),
            stage("question", plan_devices=1, pods=4),
            jobs=(job("describe", completions=6, parallelism=6, devices=1),),
            kueue=True,
        ),
        [],
    ),
    "the pods of a distributed training start together": (
        snapshot(stage("finetune", plan_devices=4, plan_nodes=2, pods=2)),
        [Start("finetune", 2)],
    ),
    "the pods of a distributed training wait together": (
        snapshot(
            stage("finetune", plan_devices=4, plan_nodes=2, pods=2),
            stage("question", plan_devices=1, pods=1, **OPEN),
            jobs=(job("question", devices=1),),
        ),
        [],
    ),
    "CPU stages need no devices": (
        snapshot(stage("describe", plan_shards=4, pods=4), devices=0),
        [Start("describe", 4)],
    ),
    "a pod on an unreachable node is force-deleted if enabled": (
        snapshot(
            stage("ingest", **OPEN), jobs=(job("ingest"),), pods=(pod("ingest", deleted=NOW - 500),), force_delete=True
        ),
        ["Close ingest", ForceDelete("ingest-a1-0-x")],
    ),
    "a pod on an unreachable node is left alone by default": (
        snapshot(stage("ingest", **OPEN), jobs=(job("ingest"),), pods=(pod("ingest", deleted=NOW - 500),)),
        [],
    ),
}


@pytest.mark.parametrize(("case", "expected"), TABLE.values(), ids=TABLE.keys())
def test_decisions(case: Snapshot, expected: list[object]) -> None:
    assert [_short(action) for action in decide(case).actions] == [_short(action) for action in expected]


def _short(action: object) -> object:
    match action:
        case Close(stage=name):
            return f"Close {name}"
        case Remove(job=job):
            return f"Remove {job.name}"
    return action


ATTEMPT_ENDS = {
    "an input error is final": (
        snapshot(
            stage("ingest", **OPEN),
            jobs=(job("ingest", finished="failed"),),
            pods=(failed("ingest", 10, exit_message='{"event": "error", "message": "line 2 is broken"}'),),
        ),
        (10, True, "line 2 is broken"),
    ),
    "a shard error is final": (
        snapshot(
            stage("describe", **OPEN),
            jobs=(job("describe", finished="failed"),),
            pods=(failed("describe", 75), failed("describe", 20, 3, exit_message="no row")),
        ),
        (20, True, "shard 3: no row"),
    ),
    "an OOM kill is final and names the memory limit": (
        snapshot(
            stage("embed", **OPEN),
            jobs=(job("embed", finished="failed"),),
            pods=(failed("embed", 137, exit_reason="OOMKilled"),),
        ),
        (10, True, "stages.embed.resources.limits.memory"),
    ),
    "a killed worker is retried": (
        snapshot(stage("embed", **OPEN), jobs=(job("embed", finished="failed"),), pods=(failed("embed", 137),)),
        (75, False, "was killed"),
    ),
    "a device error names the node": (
        snapshot(stage("embed", **OPEN), jobs=(job("embed", finished="failed"),), pods=(failed("embed", 76),)),
        (76, False, "on node n1"),
    ),
    "a missing executable is final": (
        snapshot(
            stage("embed", **OPEN),
            jobs=(job("embed", finished="failed"),),
            pods=(failed("embed", 128, exit_reason="StartError", exit_message="exec: no such file"),),
        ),
        (10, True, "no such file"),
    ),
    "an eviction for an exceeded volume size has the kubelet's message": (
        snapshot(
            stage("embed", **OPEN),
            jobs=(job("embed", finished="failed"),),
            pods=(
                failed("embed", 137, exit_reason="Evicted", exit_message='Usage of EmptyDir volume "cache" exceeds'),
            ),
        ),
        (10, True, 'volume "cache" exceeds'),
    ),
    "a distributed training times out if one of its pods is not scheduled": (
        snapshot(
            stage("finetune", plan_queued_seconds=50, plan_nodes=2, plan_devices=4, **OPEN),
            jobs=(job("finetune", completions=2, parallelism=2, devices=4),),
            pods=(pod("finetune", 0, devices=4), queued("finetune", "0/2 nodes are available", name="q", devices=4)),
            unscheduled_since={"finetune-a1": NOW - 60},
        ),
        (75, True, "0/2 nodes are available"),
    ),
    "a completed Job without its parts is retried": (
        snapshot(stage("embed", **OPEN), jobs=(job("embed", finished="complete"),)),
        (75, False, "parts of the stage's output are missing"),
    ),
    "a failed Job with only evicted pods has the Job's message": (
        snapshot(
            stage("embed", **OPEN),
            jobs=(job("embed", finished="failed", reason="DeadlineExceeded", message="too long"),),
            pods=(failed("embed", 143, disrupted="EvictionByEvictionAPI"),),
        ),
        (75, False, "DeadlineExceeded: too long"),
    ),
    "a failed image pull is final after the grace period": (
        snapshot(
            stage("embed", **OPEN),
            jobs=(job("embed"),),
            pods=(pending("embed", waiting="ImagePullBackOff", waiting_message="not found"),),
            startup_errors_since={"embed-a1-0-x": NOW - 200},
        ),
        (10, True, "ImagePullBackOff: not found"),
    ),
    "a missing PersistentVolumeClaim is final after the grace period": (
        snapshot(
            stage("embed", **OPEN),
            jobs=(job("embed"),),
            pods=(queued("embed", 'persistentvolumeclaim "w" not found'),),
            startup_errors_since={"embed-a1-0-x": NOW - 200},
        ),
        (10, True, '"w" not found'),
    ),
    "too many evictions": (
        snapshot(
            stage("embed", plan_disruptions=1, **OPEN),
            jobs=(job("embed"),),
            pods=(failed("embed", 143, 0, disrupted="A"), failed("embed", 143, 1, disrupted="B"), pod("embed", 2)),
        ),
        (75, True, "2 pods were evicted (last: B), more than the limit of 1"),
    ),
    "an unschedulable pod times out": (
        snapshot(
            stage("embed", plan_queued_seconds=50, **OPEN),
            jobs=(job("embed"),),
            pods=(queued("embed", "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."),),
            unscheduled_since={"embed-a1": NOW - 60},
        ),
        (75, True, "1 Insufficient nvidia.com/gpu"),
    ),
    "a slow start times out": (
        snapshot(
            stage("embed", plan_starting_seconds=50, **OPEN),
            jobs=(job("embed"),),
            pods=(pending("embed", scheduled=NOW - 60),),
        ),
        (75, False, "did not start within 50 s"),
    ),
    "a long-running attempt times out": (
        snapshot(stage("embed", plan_running_seconds=50, **OPEN), jobs=(job("embed"),), pods=(pod("embed"),)),
        (75, True, "ran longer than 50 s"),
    ),
    "a stalled attempt times out": (
        snapshot(
            stage("embed", plan_stalled_seconds=50, progressed_at=NOW - 70, **OPEN),
            jobs=(job("embed"),),
            pods=(pod("embed"),),
        ),
        (75, False, "no progress for 70 s (nodes: n1)"),
    ),
}


@pytest.mark.parametrize(("case", "expected"), ATTEMPT_ENDS.values(), ids=ATTEMPT_ENDS.keys())
def test_attempt_ends(case: Snapshot, expected: tuple[int, bool, str]) -> None:
    (action,) = decide(case).actions
    assert isinstance(action, Close)
    code, final, expected_reason = expected
    assert (action.end.code, action.end.final) == (code, final)
    assert expected_reason in action.end.reason


WAITING = {
    "a failed image pull within the grace period": (
        snapshot(
            stage("embed", **OPEN),
            jobs=(job("embed"),),
            pods=(pending("embed", scheduled=NOW - 900, waiting="ErrImagePull", waiting_message="not found"),),
            startup_errors_since={"embed-a1-0-x": NOW - 20},
        ),
        "ErrImagePull: not found",
    ),
    "one unschedulable pod while another one runs": (
        snapshot(
            stage("embed", plan_queued_seconds=50, **OPEN),
            jobs=(job("embed", completions=2, parallelism=2),),
            pods=(pod("embed", 0), queued("embed", "0/1 nodes are available", name="q", created=NOW - 900)),
        ),
        "unschedulable: 0/1 nodes are available",
    ),
    "an excluded node": (
        snapshot(
            stage("embed", attempt=2, is_open=True, outcomes=(outcome(code=76, avoid=("n1",)),)),
            jobs=(job("embed", 2),),
            pods=(queued("embed", "0/1 nodes are available", job="embed-a2"),),
        ),
        "0/1 nodes are available (excluded for a faulty device: n1)",
    ),
    "a Job that Kueue has not admitted": (
        snapshot(stage("embed", **OPEN), jobs=(job("embed", suspended=True),)),
        "waiting for admission by Kueue",
    ),
    "an unreachable node": (
        snapshot(stage("embed", **OPEN), jobs=(job("embed"),), pods=(pod("embed", deleted=NOW - 300),)),
        "node n1 is unreachable",
    ),
    "devices on an unreachable node": (
        snapshot(stage("finetune", plan_devices=8), pods=(pod("describe", devices=8, deleted=NOW - 300),)),
        "some by pods on unreachable nodes (n1)",
    ),
    "a rejected Job": (
        replace(snapshot(stage("embed")), rejections={"embed": (NOW + 5, "exceeded quota")}),
        "the API server rejected its Job: exceeded quota; retrying in 5 s",
    ),
    "a lack of free devices": (
        snapshot(stage("finetune", plan_devices=8), pods=(pod("describe", devices=3),)),
        "waiting for 8 free devices: 3 of 8 are in use",
    ),
    "the backoff before another attempt": (
        snapshot(stage("embed", attempt=1, outcomes=(outcome(time=NOW),)), retry_seconds=10),
        "retrying in 10 s after: it broke",
    ),
    "the stages before it": (
        snapshot(stage("embed", "blocked", waits_for=("describe", "paraphrase"))),
        "waiting for describe, paraphrase",
    ),
}


@pytest.mark.parametrize(("case", "expected_reason"), WAITING.values(), ids=WAITING.keys())
def test_waiting_is_explained(case: Snapshot, expected_reason: str) -> None:
    decision = decide(case)
    assert decision.actions == ()
    (reason,) = decision.waiting.values()
    assert expected_reason in reason
