"""Device allocation: never exceeds the budget, and serves the critical path first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from skutune.cluster.kube.views import JobView, PodView
from skutune.cluster.snapshot import Snapshot
from skutune.pipeline.graph import CLUSTER_STAGES


@dataclass(frozen=True, slots=True)
class DeviceRequest:
    """A stage that can use up to `pods` pods, of which it holds `pods_held`. It starts with at least `minimum`."""

    stage: str
    devices: int
    pods: int
    pods_held: int
    minimum: int


def in_flight(snapshot: Snapshot) -> int:
    """Devices that the release holds, or may come to hold without a further decision."""
    return snapshot.held_by_other_runs + devices_held(snapshot.jobs, snapshot.pods)


def devices_held(jobs: Iterable[JobView], pods: Iterable[PodView]) -> int:
    """Devices that Jobs and pods hold or may come to hold.

    An unfinished Job counts with its parallelism, capped by its remaining indexes. Terminating pods, including those of
    deleted Jobs, hold their devices until they have ended.
    """
    live: dict[tuple[str, str], int] = {}
    for pod in pods:
        if pod.live:
            live[pod.job, pod.job_uid] = live.get((pod.job, pod.job_uid), 0) + pod.devices
    total = 0
    for job in jobs:
        live_devices = live.pop((job.name, job.uid), 0) + live.pop((job.name, ""), 0)
        may_start = not job.finished and not job.deleting
        total += max(live_devices, min(job.parallelism, job.remaining) * job.devices if may_start else 0)
    return total + sum(live.values())


def grant(free: int, requests: Iterable[DeviceRequest]) -> dict[str, int]:
    """The number of pods that each stage may hold. Requests are served in order.

    A request that does not fit blocks the requests after it, so that they cannot starve it.
    """
    granted: dict[str, int] = {}
    for request in requests:
        if request.devices == 0:
            granted[request.stage] = request.pods
            continue
        more = min(request.pods - request.pods_held, max(free, 0) // request.devices)
        if request.pods_held == 0 and more < request.minimum:
            free = 0
            continue
        granted[request.stage] = request.pods_held + more
        free -= more * request.devices
    return granted


def by_critical_path(stages: Iterable[str]) -> list[str]:
    """Sort stages by the length of their longest path to the end of the pipeline, longest first."""
    order = list(CLUSTER_STAGES)
    return sorted(stages, key=lambda name: (-_critical_path_lengths()[name], order.index(name)))


@cache
def _critical_path_lengths() -> Mapping[str, int]:
    """The number of stages on the longest path from each stage to the end."""
    lengths: dict[str, int] = {}
    for name in reversed(CLUSTER_STAGES):
        readers = [other.name for other in CLUSTER_STAGES.values() if name in other.reads]
        lengths[name] = 1 + max((lengths[reader] for reader in readers), default=0)
    lengths["models"] = max(lengths.values()) + 1
    return lengths
