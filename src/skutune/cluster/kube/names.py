"""Names and labels of the objects that the controller creates.

A Job's name becomes a label of its pods (at most 63 characters) and, with `-<index>`, their hostname. Its hash includes
the release and the store, so that two releases in one namespace never collide.
"""

from __future__ import annotations

from skutune.hashing import content_key
from skutune.pipeline.graph import CLUSTER_STAGES

JOB_NAME_LENGTH = 57
RUN_NAME_LENGTH = 53
DEVICES = "skutune.io/devices"
FINGERPRINT = "skutune.io/fingerprint"
SPEC_HASH = "skutune.io/spec-hash"
TASK = "skutune.io/task"
RUN = "skutune.io/run"
STAGE = "skutune.io/stage"
STEP = "skutune.io/step"
ATTEMPT = "skutune.io/attempt"
INSTANCE = "app.kubernetes.io/instance"
COMPONENT = "app.kubernetes.io/component"
QUEUE_NAME = "kueue.x-k8s.io/queue-name"


def job_name(namespace: str, release: str, store: str, run: str, stage: str, fingerprint: str, attempt: int) -> str:
    """`<run>-<stage>-<hash8>-a<n>`, with the run's name truncated to fit."""
    digest = content_key([namespace, release, store, run, stage, fingerprint])[:8]
    ending = f"-{stage}-{digest}-a{attempt}"
    return run[: JOB_NAME_LENGTH - len(ending)].rstrip("-.") + ending


def scheduled_run(run: str, job: str) -> str:
    """The name of a scheduled run: the config's name and the controller Job's, truncated with a hash if too long."""
    name = f"{run}-{job}"
    if len(name) <= RUN_NAME_LENGTH:
        return name
    digest = content_key(name)[:8]
    return f"{name[: RUN_NAME_LENGTH - 9].rstrip('-')}-{digest}"


def stage_labels(release: str, run: str, stage: str, attempt: int) -> dict[str, str]:
    """The labels of a stage's Job and pods, for `kubectl get jobs -L`."""
    return {
        "app.kubernetes.io/name": "skutune",
        "app.kubernetes.io/managed-by": "skutune",
        INSTANCE: release,
        COMPONENT: "stage",
        RUN: run,
        STAGE: stage,
        STEP: str(CLUSTER_STAGES[stage].step),
        ATTEMPT: str(attempt),
    }


def selector(release: str) -> str:
    """The label selector of a release's stage Jobs and pods. It covers all its runs, which share the device budget."""
    return f"{INSTANCE}={release},{COMPONENT}=stage"
