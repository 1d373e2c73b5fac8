"""The command that pods run: one shard of one task, by one process or by several that train together."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from skutune.cli.console import event, is_terminal, watcher
from skutune.cli.shutdown import end_with_parent, exit_on_stall
from skutune.config.load import parse_config
from skutune.errors import InputError

if TYPE_CHECKING:
    from skutune.engines.pool import ModelPool
    from skutune.pipeline.manifests import Task
    from skutune.process.launcher import ProcessGroup, Topology
    from skutune.store import ObjectStore

_TRAINED_TOGETHER = ("finetune",)
_DNS_SECONDS = 300.0


def worker(
    context: typer.Context,
    task: Annotated[str, typer.Option(help="Address of the task document in the store.")],
    shard: Annotated[int, typer.Option(min=0, help="Which of the task's shards.")],
    stall_seconds: Annotated[
        float,
        typer.Option(
            min=0, envvar="SKUTUNE_STALL_SECONDS", help="End with exit code 75 after so long without progress; 0: never"
        ),
    ] = 600,
    progress_seconds: Annotated[
        float,
        typer.Option(min=0, envvar="SKUTUNE_PROGRESS_SECONDS", help="Tell the store of progress at most so often."),
    ] = 10,
    devices: Annotated[
        int,
        typer.Option(min=0, envvar="SKUTUNE_DEVICES", help="End with exit code 76 where fewer accelerators are seen."),
    ] = 0,
    processes: Annotated[int, typer.Option(min=1, help="Processes that train together on this machine.")] = 1,
    nodes: Annotated[int, typer.Option(min=1, help="Machines that train together.")] = 1,
    node_rank: Annotated[int, typer.Option(min=0, help="Which of these machines this one is.")] = 0,
    meet: Annotated[str, typer.Option(metavar="HOST:PORT", help="The first of several machines.")] = "",
    rank: Annotated[int, typer.Option(envvar="RANK", hidden=True, help="Which of these processes this one is.")] = 0,
    ranks: Annotated[int, typer.Option(envvar="WORLD_SIZE", hidden=True, help="How many they are.")] = 1,
    ranks_here: Annotated[int, typer.Option(envvar="LOCAL_WORLD_SIZE", hidden=True, help="On this machine.")] = 1,
    with_parent: Annotated[bool, typer.Option(hidden=True, help="End when stdin ends.")] = False,
) -> None:
    """Work one shard of one task (what a pod runs)."""
    from skutune.engines.pool import ModelPool
    from skutune.process.accelerators import check_devices
    from skutune.process.launcher import ProcessGroup, Topology
    from skutune.worker.run_shard import fetch_models, open_task

    if with_parent:
        end_with_parent()
    place = Topology(processes, nodes, node_rank, meet)
    # Of processes that train together the first is watched: the others are silent while it writes.
    with exit_on_stall(0 if rank else stall_seconds):
        store, found = open_task(task)
        pool = ModelPool(parse_config(found.config, f"task {task}").models, context.obj)
        if devices:
            check_devices(devices)
        if place.is_alone:
            _work(store, found, shard, pool, progress_seconds, ProcessGroup(rank, ranks, ranks_here))
            return
        if found.stage not in _TRAINED_TOGETHER:
            raise InputError(
                f"--processes, --nodes: the stage {found.stage} runs in one process; only a training takes more"
            )
        place.wait_for_first(_DNS_SECONDS)
        fetch_models(found, pool)  # once, and not by all of them at the same time
    with exit_on_stall(0):
        _train_together(context.obj, task, place, stall_seconds, progress_seconds)


def _work(
    store: ObjectStore, task: Task, shard: int, pool: ModelPool, progress_seconds: float, team: ProcessGroup
) -> None:
    from skutune.worker.run_shard import run_shard

    if team.rank:
        run_shard(store, task, shard, pool, team=team)
        return
    parts = len(task.shards[shard]) if shard < len(task.shards) else 0
    event("worker_started", stage=task.stage, shard=shard, parts=parts)
    with watcher() as seen:
        listener = seen.progressed if not is_terminal() else lambda progress: None
        run_shard(store, task, shard, pool, listener, progress_seconds, team)
    event("worker_finished", stage=task.stage, shard=shard)


def _train_together(cache: Path, task: str, place: Topology, stall_seconds: float, progress_seconds: float) -> None:
    from skutune.process.launcher import Launcher
    from skutune.process.threads import share_processors

    command = [sys.executable, "-m", "skutune", "--cache", str(cache), "worker", "--task", task, "--shard", "0"]
    command += ["--stall-seconds", str(stall_seconds), "--progress-seconds", str(progress_seconds), "--with-parent"]
    environment = dict(os.environ)
    share_processors(environment, place.processes)
    with Launcher(command, place, environment) as ranks:
        ranks.wait()
