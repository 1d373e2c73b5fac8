"""The `worker` command that pods run: one shard of one task, in one process or as a distributed training."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from skutune.cli.console import event, is_terminal, run_observer
from skutune.cli.shutdown import exit_on_stall, exit_with_parent
from skutune.errors import InputError

if TYPE_CHECKING:
    from skutune.engines.pool import ModelPool
    from skutune.process.launcher import ProcessGroup, Topology
    from skutune.worker.run_shard import OpenTask

_DISTRIBUTED_STAGES = ("finetune",)
_DNS_TIMEOUT_SECONDS = 300.0


def worker(
    context: typer.Context,
    task: Annotated[str, typer.Option(help="URI of the task document in the store.")],
    shard: Annotated[int, typer.Option(min=0, help="Index of the shard.")],
    stall_seconds: Annotated[
        float,
        typer.Option(
            min=0, envvar="SKUTUNE_STALL_SECONDS", help="Exit with 75 after this long without progress; 0 disables it."
        ),
    ] = 600,
    progress_seconds: Annotated[
        float,
        typer.Option(
            min=0, envvar="SKUTUNE_PROGRESS_SECONDS", help="Minimum interval between progress reports to the store."
        ),
    ] = 10,
    devices: Annotated[
        int,
        typer.Option(min=0, envvar="SKUTUNE_DEVICES", help="Exit with 76 if fewer accelerators are detected."),
    ] = 0,
    processes: Annotated[int, typer.Option(min=1, help="Training processes on this node.")] = 1,
    nodes: Annotated[int, typer.Option(min=1, help="Nodes of the distributed training.")] = 1,
    node_rank: Annotated[int, typer.Option(min=0, help="Rank of this node.")] = 0,
    rendezvous: Annotated[str, typer.Option(metavar="HOST:PORT", help="Rendezvous endpoint on the first node.")] = "",
    rank: Annotated[int, typer.Option(envvar="RANK", hidden=True, help="Global rank of this process.")] = 0,
    world_size: Annotated[int, typer.Option(envvar="WORLD_SIZE", hidden=True, help="Number of processes.")] = 1,
    local_world_size: Annotated[
        int, typer.Option(envvar="LOCAL_WORLD_SIZE", hidden=True, help="Number of processes on this node.")
    ] = 1,
    with_parent: Annotated[bool, typer.Option(hidden=True, help="Exit when stdin is closed.")] = False,
) -> None:
    """Run one shard of one task (the entry point of stage pods)."""
    from skutune.engines.pool import ModelPool
    from skutune.process.accelerators import check_devices
    from skutune.process.launcher import ProcessGroup, Topology
    from skutune.worker.run_shard import fetch_models, open_task

    if with_parent:
        exit_with_parent()
    topology = Topology(processes, nodes, node_rank, rendezvous)
    # In a distributed training only rank 0 is watched: the others are idle while it writes.
    with exit_on_stall(0 if rank else stall_seconds):
        opened = open_task(task)
        pool = ModelPool(opened.config.models, context.obj)
        if devices:
            check_devices(devices)
        if topology.is_single_process:
            _run(opened, shard, pool, progress_seconds, ProcessGroup(rank, world_size, local_world_size))
            return
        if opened.task.stage not in _DISTRIBUTED_STAGES:
            raise InputError(
                f"--processes, --nodes: stage {opened.task.stage} runs in one process; only training can be distributed"
            )
        topology.wait_for_rendezvous_dns(_DNS_TIMEOUT_SECONDS)
        fetch_models(opened, pool)  # once, before all processes need them
    with exit_on_stall(0):
        _train_distributed(context.obj, task, topology, stall_seconds, progress_seconds)


def _run(opened: OpenTask, shard: int, pool: ModelPool, progress_seconds: float, process_group: ProcessGroup) -> None:
    from skutune.worker.run_shard import run_shard

    task = opened.task
    if process_group.rank:
        run_shard(opened, shard, pool, process_group=process_group)
        return
    parts = len(task.shards[shard]) if shard < len(task.shards) else 0
    event("worker_started", stage=task.stage, shard=shard, parts=parts)
    with run_observer() as observer:
        listener = observer.progressed if not is_terminal() else lambda progress: None
        run_shard(opened, shard, pool, listener, progress_seconds, process_group)
    event("worker_finished", stage=task.stage, shard=shard)


def _train_distributed(
    cache: Path, task: str, topology: Topology, stall_seconds: float, progress_seconds: float
) -> None:
    from skutune.process.launcher import Launcher
    from skutune.process.threads import share_processors

    command = [sys.executable, "-m", "skutune", "--cache", str(cache), "worker", "--task", task, "--shard", "0"]
    command += ["--stall-seconds", str(stall_seconds), "--progress-seconds", str(progress_seconds), "--with-parent"]
    environment = dict(os.environ)
    share_processors(environment, topology.processes)
    with Launcher(command, topology, environment) as launcher:
        launcher.wait()
