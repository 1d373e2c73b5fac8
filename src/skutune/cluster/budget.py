"""Who gets the devices: never more in flight than the budget, the longest way to the end first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from skutune.cluster.kube.views import JobView, PodView
from skutune.cluster.snapshot import Snapshot
from skutune.pipeline.graph import CLUSTER_STAGES


@dataclass(frozen=True, slots=True)
class DeviceRequest:
    """A stage that could use pods: it holds `held` of `pods`, and begins with no fewer than `least`."""

    stage: str
    devices: int
    pods: int
    held: int
    least: int


def in_flight(seen: Snapshot) -> int:
    """Devices that the release holds, or may hold without a further decision."""
    return seen.elsewhere + held(seen.jobs, seen.pods)


def held(jobs: Iterable[JobView], pods: Iterable[PodView]) -> int:
    """Devices that Jobs and pods hold or may hold.

    An unfinished Job may hold its parallelism at any time, but no more than what is left to do; pods that still end,
    also those of Jobs that are gone, hold theirs until they have ended.
    """
    live: dict[tuple[str, str], int] = {}
    for pod in pods:
        if pod.live:
            live[pod.job, pod.job_uid] = live.get((pod.job, pod.job_uid), 0) + pod.devices
    total = 0
    for job in jobs:
        there = live.pop((job.name, job.uid), 0) + live.pop((job.name, ""), 0)
        may_start = not job.finished and not job.deleting
        total += max(there, min(job.parallelism, job.remaining) * job.devices if may_start else 0)
    return total + sum(live.values())


def grant(free: int, wants: Iterable[DeviceRequest]) -> dict[str, int]:
    """How many pods each stage may hold, in the order of their urgency.

    A stage that needs more devices than are free keeps those behind it from taking what it waits for.
    """
    granted: dict[str, int] = {}
    for want in wants:
        if want.devices == 0:
            granted[want.stage] = want.pods
            continue
        more = min(want.pods - want.held, max(free, 0) // want.devices)
        if want.held == 0 and more < want.least:
            free = 0
            continue
        granted[want.stage] = want.held + more
        free -= more * want.devices
    return granted


def by_critical_path(stages: Iterable[str]) -> list[str]:
    """The stages with the longest way to the end of the pipeline first."""
    order = list(CLUSTER_STAGES)
    return sorted(stages, key=lambda name: (-_way_to_end()[name], order.index(name)))


@cache
def _way_to_end() -> Mapping[str, int]:
    """The number of stages on the longest way from each stage to the end."""
    ways: dict[str, int] = {}
    for name in reversed(CLUSTER_STAGES):
        readers = [other.name for other in CLUSTER_STAGES.values() if name in other.reads]
        ways[name] = 1 + max((ways[reader] for reader in readers), default=0)
    ways["models"] = max(ways.values()) + 1
    return ways
