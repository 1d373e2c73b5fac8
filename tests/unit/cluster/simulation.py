"""An in-memory cluster and store to test decisions: Jobs, pods and parts, without processes or HTTP.

It guarantees no more than a real cluster: pods start some time after their Job, succeed or fail in any order, and the
controller may crash between any two of its actions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from skutune.cluster.budget import in_flight
from skutune.cluster.decide import Action, Close, Finish, Remove, Resize, Start, decide
from skutune.cluster.kube.views import JobView, PodView
from skutune.cluster.outcomes import AttemptOutcome
from skutune.cluster.plan import ClusterPlan, StagePlan
from skutune.cluster.snapshot import Snapshot, StageView
from skutune.pipeline.graph import CLUSTER_STAGES

UID = "controller-1"
PARTS = 4


@dataclass
class Stage:
    """The state of a stage in the store."""

    plan: StagePlan
    completed: set[int] = field(default_factory=set)
    done: bool = False
    attempt: int = 0
    task: list[list[int]] = field(default_factory=list)
    outcomes: list[AttemptOutcome] = field(default_factory=list)


@dataclass
class Simulation:
    """A run on a simulated cluster. `draw(n)` returns a number in range(n)."""

    plan: ClusterPlan
    draw: Callable[[int], int]
    stages: dict[str, Stage] = field(default_factory=dict)
    jobs: dict[str, JobView] = field(default_factory=dict)
    pods: dict[str, PodView] = field(default_factory=dict)
    now: float = 1000.0
    peak: int = 0
    created: list[str] = field(default_factory=list)
    finish: Finish | None = None
    pod_count: int = 0

    def __post_init__(self) -> None:
        self.stages = {name: Stage(plan) for name, plan in self.plan.stages.items()}

    def observe(self) -> Snapshot:
        """The controller's snapshot of the current state."""
        return Snapshot(
            self.plan,
            UID,
            self.now,
            {name: self._view(name) for name in self.stages},
            tuple(self.jobs.values()),
            tuple(pod for pod in self.pods.values() if pod.phase != "Succeeded"),
        )

    def controller_round(self, crash: bool) -> None:
        """Decide and apply. A crash happens before or in the middle of a random action."""
        actions = decide(self.observe()).actions
        stop = self.draw(len(actions) + 1) if crash else len(actions)
        for position, action in enumerate(actions):
            if position == stop:
                self._apply(action, interrupted=True)
                return
            self._apply(action)

    def cluster_round(self) -> None:
        """Advance the cluster by one random step."""
        self.now += 1
        self._fill_jobs()
        live = [pod for pod in self.pods.values() if pod.live]
        if live:
            pod = live[self.draw(len(live))]
            if pod.started is None:
                self.pods[pod.name] = replace(pod, phase="Running", node="n", scheduled=self.now, started=self.now)
            else:
                self._step(pod, self.draw(8))
        self._finish_jobs()
        held = sum(pod.devices for pod in self.pods.values() if pod.live)
        self.peak = max(self.peak, held)

    def _view(self, name: str) -> StageView:
        stage = self.stages[name]
        reads = [each for each in CLUSTER_STAGES[name].reads if each in self.stages]
        waits_for = tuple(each for each in reads if not self.stages[each].done)
        state = "done" if stage.done else "blocked" if waits_for else "ready"
        is_open = stage.attempt > 0 and all(each.attempt != stage.attempt for each in stage.outcomes)
        missing = self._parts(name) - len(stage.completed)
        pods = len(stage.task) if is_open else max(1, min(stage.plan.shards, missing))
        return StageView(
            name, stage.plan, state, waits_for, f"f-{name}", stage.attempt, is_open, pods, tuple(stage.outcomes)
        )

    def _parts(self, name: str) -> int:
        return PARTS if CLUSTER_STAGES[name].kind == "map" else 1

    def _apply(self, action: Action, interrupted: bool = False) -> None:
        match action:
            case Start(stage=name, parallelism=parallelism):
                self._start(name, parallelism, interrupted)
            case Resize(job=job, parallelism=parallelism) if not interrupted:
                self.jobs[job] = replace(self.jobs[job], parallelism=parallelism)
            case Close(stage=name, job=job):
                self._close(name, job, action, interrupted)
            case Remove(job=job) if not interrupted:
                self._delete(job.name)
            case Finish() if not interrupted:
                self.finish = action

    def _start(self, name: str, parallelism: int, interrupted: bool) -> None:
        stage = self.stages[name]
        if not self._view(name).is_open:
            missing = sorted(set(range(self._parts(name))) - stage.completed)
            width = min(stage.plan.shards, len(missing))
            stage.attempt += 1
            stage.task = [missing[shard::width] for shard in range(width)]
        if interrupted:
            return
        job = f"{name}-a{stage.attempt}"
        assert job not in self.created, f"{job} was started twice"
        self.created.append(job)
        self.jobs[job] = JobView(
            job, f"uid-{job}", "run", name, stage.attempt, f"f-{name}", "", UID, len(stage.task), parallelism,
            stage.plan.devices, 0, 0, "", "", "", False, False, self.now,
        )  # fmt: skip

    def _close(self, name: str, job: JobView, action: Close, interrupted: bool) -> None:
        stage = self.stages[name]
        if len(stage.completed) == self._parts(name):
            stage.done = True
        else:
            end = action.end
            outcome = AttemptOutcome(job.attempt, end.code, end.reason, end.final, end.avoid, UID, self.now)
            stage.outcomes.append(outcome)
        if not interrupted and not (stage.done and job.finished == "complete"):
            self._delete(job.name)

    def _delete(self, job: str) -> None:
        """Delete a Job at once; its live pods stay terminating."""
        self.jobs.pop(job, None)
        for pod in [pod for pod in self.pods.values() if pod.job == job]:
            if pod.live:
                self.pods[pod.name] = replace(pod, deleted=self.now, started=self.now)
            else:
                del self.pods[pod.name]

    def _fill_jobs(self) -> None:
        """Act as the Job controller: one pod per index, up to the parallelism; evicted pods are replaced."""
        for job in list(self.jobs.values()):
            if job.finished:
                continue
            pods = [pod for pod in self.pods.values() if pod.job == job.name]
            busy = {pod.index for pod in pods if pod.live or pod.phase == "Succeeded"}
            failed = {pod.index for pod in pods if pod.phase == "Failed" and not pod.disrupted}
            free = min(job.parallelism - sum(pod.live for pod in pods), job.completions)
            for index in [i for i in range(job.completions) if i not in busy | failed][: max(0, free)]:
                self.pod_count += 1
                name = f"{job.name}-{index}-{self.pod_count}"
                self.pods[name] = PodView(name, job.name, job.stage, index, "", "Pending", job.devices, self.now)

    def _step(self, pod: PodView, choice: int) -> None:
        """Let a pod complete a part, succeed, be evicted, or fail. A deleted pod terminates."""
        stage = self.stages[pod.stage]
        if pod.deleted is not None:
            del self.pods[pod.name]
            return
        parts = stage.task[pod.index] if pod.index < len(stage.task) else []
        missing = [part for part in parts if part not in stage.completed]
        if choice < 4 and missing:
            stage.completed.add(missing[0])
        elif choice == 4:
            self.pods[pod.name] = replace(pod, phase="Failed", exit_code=143, disrupted="EvictionByEvictionAPI")
        elif choice == 5:
            code = (75, 76, 1)[self.draw(3)]
            self.pods[pod.name] = replace(pod, phase="Failed", exit_code=code, exit_message="{}")
        elif not missing:
            self.pods[pod.name] = replace(pod, phase="Succeeded", exit_code=0)

    def _finish_jobs(self) -> None:
        for job in list(self.jobs.values()):
            pods = [pod for pod in self.pods.values() if pod.job == job.name]
            succeeded = {pod.index for pod in pods if pod.phase == "Succeeded"}
            failed = {pod.index for pod in pods if pod.phase == "Failed" and not pod.disrupted} - succeeded
            job = replace(job, succeeded=len(succeeded), failed_indexes=len(failed))
            if not any(pod.live for pod in pods) and len(succeeded | failed) == job.completions:
                job = replace(job, finished="failed" if failed else "complete", reason="FailedIndexes")
            self.jobs[job.name] = job

    def devices_in_flight(self) -> int:
        """Devices that the run holds or may come to hold without a further decision."""
        return in_flight(self.observe())
