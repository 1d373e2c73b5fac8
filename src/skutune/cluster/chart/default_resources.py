"""What a stage asks of a cluster before anybody says otherwise: devices, processors, memory, disk.

The chart's templates read this as `files/stages.yaml`. The figures are room to begin with, for models of 7 to 8 billion
parameters on a GPU each.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from skutune.pipeline.graph import CLUSTER_STAGES, Stage

CPU_SHARDS = 4
"""Pods of a map stage that has no devices."""

FINETUNE_DEVICES = 8


@dataclass(frozen=True, slots=True)
class DefaultResources:
    """CPU in cores, memory and local disk in GiB, of one pod, or for each of its devices (but for the disk)."""

    cpu: int
    memory: int
    disk: int


_SMALL = DefaultResources(cpu=1, memory=4, disk=10)
_MIRROR = DefaultResources(cpu=1, memory=2, disk=20)  # weights pass through the disk, file by file
_ON_GPU = {
    "generate": DefaultResources(cpu=4, memory=24, disk=60),
    "train": DefaultResources(cpu=4, memory=32, disk=80),
}
_ON_CPU = DefaultResources(cpu=2, memory=8, disk=20)


def table() -> list[dict[str, Any]]:
    """Every stage of a cluster's run in order, as the templates read it."""
    return [_row(stage) for stage in CLUSTER_STAGES.values()]


def _row(stage: Stage) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": stage.name,
        "title": stage.title,
        "step": stage.step,
        "kind": stage.kind,
        "image": stage.image,
        "models": list(stage.models),
        "devices": _devices(stage),
    }
    if stage.kind == "map":
        row["shards"] = CPU_SHARDS
    if stage.image == "controller":
        return row | {"withoutDevices": asdict(_MIRROR if stage.name == "models" else _SMALL)}
    return row | {"withoutDevices": asdict(_ON_CPU), "eachDevice": asdict(_ON_GPU[stage.image])}


def _devices(stage: Stage) -> int:
    if stage.image == "controller":
        return 0
    return FINETUNE_DEVICES if stage.name == "finetune" else 1
