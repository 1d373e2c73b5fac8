"""Default resources of each stage: devices, CPU, memory, disk.

The chart's templates read them from `files/stages.yaml`. They are starting values for models of 7 to 8 billion
parameters on one GPU each.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from skutune.pipeline.graph import CLUSTER_STAGES, Stage

CPU_SHARDS = 4
"""Default number of pods of a map stage without devices."""

FINETUNE_DEVICES = 8


@dataclass(frozen=True, slots=True)
class DefaultResources:
    """CPU in cores, memory and local disk in GiB, per pod. On GPUs, CPU and memory are per device."""

    cpu: int
    memory: int
    disk: int


_SMALL = DefaultResources(cpu=1, memory=4, disk=10)
_MIRROR = DefaultResources(cpu=1, memory=2, disk=20)  # each file of the weights is downloaded to disk before the upload
_ON_GPU = {
    "generate": DefaultResources(cpu=4, memory=24, disk=60),
    "train": DefaultResources(cpu=4, memory=32, disk=80),
}
_ON_CPU = DefaultResources(cpu=2, memory=8, disk=20)


def table() -> list[dict[str, Any]]:
    """The stages of a cluster run, in order, in the format of the templates."""
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
