"""The decisions as a table: what is seen, and what is done about it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from seen import NOW, failed, job, outcome, pending, pod, queued, seen, stage

from skutune.cluster.decide import Close, Finish, ForceDelete, Remove, Resize, Start, decide
from skutune.cluster.snapshot import Snapshot

OPEN = {"attempt": 1, "is_open": True}

TABLE = {
    "a ready stage starts": (seen(stage("ingest")), [Start("ingest", 1)]),
    "a blocked stage waits": (seen(stage("ingest", "blocked", waits_for=("models",))), []),
    "a done stage is left alone and the run is over": (
        seen(stage("ingest", "done")),
        [Finish(0, "all stages are done")],
    ),
    "a running Job goes on": (seen(stage("ingest", **OPEN), jobs=(job("ingest"),), pods=(pod("ingest"),)), []),
    "an open attempt whose Job is gone gets it again": (seen(stage("ingest", **OPEN)), [Start("ingest", 1)]),
    "eight pods take eight devices": (
        seen(stage("describe", plan_devices=1, plan_shards=8, pods=8)),
        [Start("describe", 8)],
    ),
    "what is taken is not given twice": (
        seen(
            stage("describe", plan_devices=1, pods=8, **OPEN),
            stage("question", plan_devices=1, pods=8),
            jobs=(job("describe", completions=8, parallelism=6, devices=1),),
        ),
        [Resize("describe", "describe-a1", 8)],
    ),
    "the longest way to the end goes first": (
        seen(stage("question", plan_devices=1, pods=8), stage("describe", plan_devices=1, pods=8)),
        [Start("describe", 8)],
    ),
    "free devices go to the next stage": (
        seen(stage("describe", plan_devices=1, pods=5), stage("question", plan_devices=1, pods=8)),
        [Start("describe", 5), Start("question", 3)],
    ),
    "a stage that needs all devices keeps others from taking them": (
        seen(
            stage("embed", plan_devices=8, pods=1),
            stage("expand", plan_devices=1, pods=4, **OPEN),
            stage("answer", plan_devices=1, pods=2),
            jobs=(job("expand", completions=4, parallelism=2, devices=1),),
        ),
        [],
    ),
    "pods that still end keep their devices": (
        seen(stage("finetune", plan_devices=8), pods=(pod("describe", devices=1, deleted=NOW - 5),)),
        [],
    ),
    "an ended Job is closed": (
        seen(stage("ingest", **OPEN), jobs=(job("ingest", finished="complete", succeeded=1),)),
        ["Close ingest"],
    ),
    "nothing new starts in the round that closes": (
        seen(
            stage("ingest", **OPEN),
            stage("models"),
            jobs=(job("ingest", finished="complete", succeeded=1),),
        ),
        ["Close ingest"],
    ),
    "a failed attempt is tried again after a while": (
        seen(stage("ingest", attempt=1, outcomes=(outcome(),))),
        [Start("ingest", 1)],
    ),
    "but not at once": (
        seen(stage("ingest", attempt=1, outcomes=(outcome(time=NOW - 3),)), retry_seconds=10),
        [],
    ),
    "and away from the node that broke it": (
        seen(stage("ingest", attempt=1, outcomes=(outcome(code=76, avoid=("n1",)),))),
        [Start("ingest", 1, ("n1",))],
    ),
    "the attempts end": (
        seen(stage("ingest", attempt=3, outcomes=(outcome(1), outcome(2), outcome(3)))),
        [Finish(75, "ingest (attempt 3): it broke")],
    ),
    "what cannot succeed is not tried again": (
        seen(stage("ingest", attempt=1, outcomes=(outcome(code=10, final=True),))),
        [Finish(10, "ingest: it broke")],
    ),
    "a fault that each attempt met is told as a stage that cannot succeed": (
        seen(stage("ingest", plan_attempts=1, attempt=1, outcomes=(outcome(code=1),))),
        [Finish(20, "ingest: it broke")],
    ),
    "what has not begun when a stage has failed is not waited for": (
        seen(
            stage("question", plan_devices=1, attempt=1, outcomes=(outcome(code=20, final=True),)),
            stage("describe", plan_devices=1, pods=1, **OPEN),
            jobs=(job("describe", devices=1),),
            pods=(queued("describe", "0/1 nodes are available"),),
        ),
        ["Remove describe-a1"],
    ),
    "devices of another run of the release are not given again": (
        replace(seen(stage("describe", plan_devices=1, plan_shards=8, pods=8)), elsewhere=6),
        [Start("describe", 2)],
    ),
    "pods of a Job that was deleted under the same name keep their devices": (
        seen(
            stage("describe", plan_devices=1, pods=8, **OPEN),
            jobs=(job("describe", completions=8, parallelism=2, devices=1),),
            pods=tuple(pod("describe", i, name=f"old-{i}", devices=1, job_uid="before") for i in range(2)),
        ),
        [Resize("describe", "describe-a1", 6)],
    ),
    "a Job whose inputs are made again is removed": (
        seen(stage("describe", "blocked", waits_for=("ingest",)), stage("ingest"), jobs=(job("describe"),)),
        ["Remove describe-a1", Start("ingest", 1)],
    ),
    "when a stage has failed nothing new starts, and what runs may finish": (
        seen(
            stage("question", plan_devices=1, attempt=1, outcomes=(outcome(code=20, final=True),)),
            stage("describe", plan_devices=1, pods=4, **OPEN),
            stage("models"),
            jobs=(job("describe", completions=4, parallelism=2, devices=1),),
            pods=(pod("describe", devices=1),),
        ),
        [],
    ),
    "a Job of another output is removed": (
        seen(stage("ingest", **OPEN), jobs=(job("ingest", fingerprint="old", name="old"), job("ingest"))),
        ["Remove old"],
    ),
    "a failed Job whose attempt was followed is removed": (
        seen(stage("ingest", attempt=2, is_open=True), jobs=(job("ingest", 1, finished="failed"), job("ingest", 2))),
        ["Remove ingest-a1"],
    ),
    "a failed Job of a stage that is done is removed": (
        seen(stage("ingest", "done"), jobs=(job("ingest", finished="failed"),)),
        ["Remove ingest-a1"],
    ),
    "a completed Job stays for kubectl": (
        seen(stage("ingest", "done"), jobs=(job("ingest", finished="complete"),)),
        [Finish(0, "all stages are done")],
    ),
    "a Job of the controller before us is left to its own end": (
        seen(stage("ingest", attempt=1), jobs=(job("ingest", owner_uid="before"),)),
        [],
    ),
    "a Job that belongs to nobody is removed": (
        seen(stage("ingest", attempt=1), jobs=(job("ingest", owner_uid=""),)),
        ["Remove ingest-a1"],
    ),
    "Kueue's Jobs keep their parallelism": (
        seen(
            stage("describe", plan_devices=1, pods=8, **OPEN),
            jobs=(job("describe", completions=8, parallelism=4, devices=1),),
            kueue=True,
        ),
        [],
    ),
    "with Kueue a stage starts whole or not at all": (
        seen(
            stage("describe", plan_devices=1, pods=6, **OPEN),
            stage("question", plan_devices=1, pods=4),
            jobs=(job("describe", completions=6, parallelism=6, devices=1),),
            kueue=True,
        ),
        [],
    ),
    "nodes of one training start together": (
        seen(stage("finetune", plan_devices=4, plan_nodes=2, pods=2)),
        [Start("finetune", 2)],
    ),
    "or wait together": (
        seen(
            stage("finetune", plan_devices=4, plan_nodes=2, pods=2),
            stage("question", plan_devices=1, pods=1, **OPEN),
            jobs=(job("question", devices=1),),
        ),
        [],
    ),
    "stages on CPUs take no devices": (
        seen(stage("describe", plan_shards=4, pods=4), devices=0),
        [Start("describe", 4)],
    ),
    "a pod of a dead node is deleted by force only where that is switched on": (
        seen(
            stage("ingest", **OPEN), jobs=(job("ingest"),), pods=(pod("ingest", deleted=NOW - 500),), force_delete=True
        ),
        ["Close ingest", ForceDelete("ingest-a1-0-x")],
    ),
    "and else is left": (
        seen(stage("ingest", **OPEN), jobs=(job("ingest"),), pods=(pod("ingest", deleted=NOW - 500),)),
        [],
    ),
}


@pytest.mark.parametrize(("what", "expected"), TABLE.values(), ids=TABLE.keys())
def test_decisions(what: Snapshot, expected: list[object]) -> None:
    assert [_short(action) for action in decide(what).actions] == [_short(action) for action in expected]


def _short(action: object) -> object:
    match action:
        case Close(stage=name):
            return f"Close {name}"
        case Remove(job=removed):
            return f"Remove {removed.name}"
    return action


ENDINGS = {
    "a bad input ends the stage for good": (
        seen(
            stage("ingest", **OPEN),
            jobs=(job("ingest", finished="failed"),),
            pods=(failed("ingest", 10, exit_message='{"event": "error", "message": "line 2 is broken"}'),),
        ),
        (10, True, "line 2 is broken"),
    ),
    "a shard that cannot succeed too": (
        seen(
            stage("describe", **OPEN),
            jobs=(job("describe", finished="failed"),),
            pods=(failed("describe", 75), failed("describe", 20, 3, exit_message="no row")),
        ),
        (20, True, "shard 3: no row"),
    ),
    "want of memory is told as such": (
        seen(
            stage("embed", **OPEN),
            jobs=(job("embed", finished="failed"),),
            pods=(failed("embed", 137, exit_reason="OOMKilled"),),
        ),
        (10, True, "stages.embed.resources.limits.memory"),
    ),
    "a killed worker is tried again": (
        seen(stage("embed", **OPEN), jobs=(job("embed", finished="failed"),), pods=(failed("embed", 137),)),
        (75, False, "was killed"),
    ),
    "a faulty device is told with its node": (
        seen(stage("embed", **OPEN), jobs=(job("embed", finished="failed"),), pods=(failed("embed", 76),)),
        (76, False, "on node n1"),
    ),
    "a program that is not there cannot start": (
        seen(
            stage("embed", **OPEN),
            jobs=(job("embed", finished="failed"),),
            pods=(failed("embed", 128, exit_reason="StartError", exit_message="exec: no such file"),),
        ),
        (10, True, "no such file"),
    ),
    "a volume that grew too large is told in the kubelet's words": (
        seen(
            stage("embed", **OPEN),
            jobs=(job("embed", finished="failed"),),
            pods=(
                failed("embed", 137, exit_reason="Evicted", exit_message='Usage of EmptyDir volume "cache" exceeds'),
            ),
        ),
        (10, True, 'volume "cache" exceeds'),
    ),
    "training over nodes waits as long for one place as for all": (
        seen(
            stage("finetune", plan_queued_seconds=50, plan_nodes=2, plan_devices=4, **OPEN),
            jobs=(job("finetune", completions=2, parallelism=2, devices=4),),
            pods=(pod("finetune", 0, devices=4), queued("finetune", "0/2 nodes are available", name="q", devices=4)),
            quiet_since={"finetune-a1": NOW - 60},
        ),
        (75, True, "0/2 nodes are available"),
    ),
    "success without parts is none": (
        seen(stage("embed", **OPEN), jobs=(job("embed", finished="complete"),)),
        (75, False, "does not hold"),
    ),
    "evictions alone do not tell why a Job failed": (
        seen(
            stage("embed", **OPEN),
            jobs=(job("embed", finished="failed", reason="DeadlineExceeded", message="too long"),),
            pods=(failed("embed", 143, disrupted="EvictionByEvictionAPI"),),
        ),
        (75, False, "DeadlineExceeded: too long"),
    ),
    "an image that cannot be pulled fails after the grace": (
        seen(
            stage("embed", **OPEN),
            jobs=(job("embed"),),
            pods=(pending("embed", waiting="ImagePullBackOff", waiting_message="not found"),),
            refused_since={"embed-a1-0-x": NOW - 200},
        ),
        (10, True, "ImagePullBackOff: not found"),
    ),
    "a claim that is not there too": (
        seen(
            stage("embed", **OPEN),
            jobs=(job("embed"),),
            pods=(queued("embed", 'persistentvolumeclaim "w" not found'),),
            refused_since={"embed-a1-0-x": NOW - 200},
        ),
        (10, True, '"w" not found'),
    ),
    "too many evictions": (
        seen(
            stage("embed", plan_disruptions=1, **OPEN),
            jobs=(job("embed"),),
            pods=(failed("embed", 143, 0, disrupted="A"), failed("embed", 143, 1, disrupted="B"), pod("embed", 2)),
        ),
        (75, True, "its pods were evicted 2 times (last: B), more than 1"),
    ),
    "no node for too long": (
        seen(
            stage("embed", plan_queued_seconds=50, **OPEN),
            jobs=(job("embed"),),
            pods=(queued("embed", "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."),),
            quiet_since={"embed-a1": NOW - 60},
        ),
        (75, True, "1 Insufficient nvidia.com/gpu"),
    ),
    "a start that takes too long": (
        seen(
            stage("embed", plan_starting_seconds=50, **OPEN),
            jobs=(job("embed"),),
            pods=(pending("embed", scheduled=NOW - 60),),
        ),
        (75, False, "did not start in 50 s"),
    ),
    "a run that takes too long": (
        seen(stage("embed", plan_running_seconds=50, **OPEN), jobs=(job("embed"),), pods=(pod("embed"),)),
        (75, True, "ran longer than 50 s"),
    ),
    "no progress": (
        seen(
            stage("embed", plan_stalled_seconds=50, progressed=NOW - 70, **OPEN),
            jobs=(job("embed"),),
            pods=(pod("embed"),),
        ),
        (75, False, "no progress for 70 s (on n1)"),
    ),
}


@pytest.mark.parametrize(("what", "expected"), ENDINGS.values(), ids=ENDINGS.keys())
def test_endings(what: Snapshot, expected: tuple[int, bool, str]) -> None:
    (action,) = decide(what).actions
    assert isinstance(action, Close)
    code, final, words = expected
    assert (action.end.code, action.end.final) == (code, final)
    assert words in action.end.reason


PATIENCE = {
    "an image gets time to come": (
        seen(
            stage("embed", **OPEN),
            jobs=(job("embed"),),
            pods=(pending("embed", scheduled=NOW - 900, waiting="ErrImagePull", waiting_message="not found"),),
            refused_since={"embed-a1-0-x": NOW - 20},
        ),
        "ErrImagePull: not found",
    ),
    "one pod without a node is no reason while another runs": (
        seen(
            stage("embed", plan_queued_seconds=50, **OPEN),
            jobs=(job("embed", completions=2, parallelism=2),),
            pods=(pod("embed", 0), queued("embed", "0/1 nodes are available", name="q", created=NOW - 900)),
        ),
        "waits for a node: 0/1 nodes are available",
    ),
    "a node that is avoided is named": (
        seen(
            stage("embed", attempt=2, is_open=True, outcomes=(outcome(code=76, avoid=("n1",)),)),
            jobs=(job("embed", 2),),
            pods=(queued("embed", "0/1 nodes are available", job="embed-a2"),),
        ),
        "0/1 nodes are available (it is kept off n1, whose device was faulty)",
    ),
    "Kueue takes its time": (
        seen(stage("embed", **OPEN), jobs=(job("embed", suspended=True),)),
        "waits for Kueue to admit it",
    ),
    "a node that does not answer is told": (
        seen(stage("embed", **OPEN), jobs=(job("embed"),), pods=(pod("embed", deleted=NOW - 300),)),
        "node n1 does not answer",
    ),
    "and so where its devices are waited for": (
        seen(stage("finetune", plan_devices=8), pods=(pod("describe", devices=8, deleted=NOW - 300),)),
        "some by pods on n1, which does not answer",
    ),
    "a refused Job is not asked for again at once": (
        replace(seen(stage("embed")), not_before={"embed": (NOW + 5, "exceeded quota")}),
        "its Job is refused: exceeded quota; asks again in 5 s",
    ),
    "so is a lack of devices": (
        seen(stage("finetune", plan_devices=8), pods=(pod("describe", devices=3),)),
        "waits for 8 free devices: 3 of 8 are in use",
    ),
    "and the wait before another attempt": (
        seen(stage("embed", attempt=1, outcomes=(outcome(time=NOW),)), retry_seconds=10),
        "tries again in 10 s, after: it broke",
    ),
    "and the stages before it": (
        seen(stage("embed", "blocked", waits_for=("describe", "paraphrase"))),
        "waits for describe, paraphrase",
    ),
}


@pytest.mark.parametrize(("what", "words"), PATIENCE.values(), ids=PATIENCE.keys())
def test_waiting_is_explained(what: Snapshot, words: str) -> None:
    decision = decide(what)
    assert decision.actions == ()
    (said,) = decision.waiting.values()
    assert words in said
