"""The controller over all stages in many shards: memory, and how many requests it makes of the API server.

Controller, chart, API server double and S3 server are the real ones of the tests; the stages' pods are a shell script
that waits until its shard's manifest is there, which this program writes as soon as a task appears.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from skutune.pipeline import manifests
from skutune.pipeline.graph import CLUSTER_STAGES
from skutune.pipeline.manifests import Entry, Manifest, Task
from skutune.store import open_store
from skutune.store.base import ObjectStore
from tests.benchmarks.rows import Row

SHARDS = 64
_PROGRAM = """#!/bin/sh
[ "$1" = controller ] && exec {program} "$@"
flag="{folder}/$(echo "$SKUTUNE_TASK" | tr '/:' '__')"
while [ ! -e "$flag" ]; do sleep 0.2; done
sleep {seconds}
"""


def measure(folder: Path, options: argparse.Namespace) -> list[Row]:
    """Run all stages twice: with pods that take a second, and with pods that take longer."""
    rows = []
    for seconds in (1, 10):
        memory, calls, took = _run(folder / str(seconds), seconds)
        what = f"{len(CLUSTER_STAGES)} stages x {SHARDS} shards, pods of {seconds} s"
        total = sum(calls.values())
        rows += [
            Row("controller", f"{what}: peak resident", memory / 2**20, "MiB", "under 100"),
            Row("controller", f"{what}: requests to the API server in {took:.0f} s", total, "", "follow changes"),
            Row("controller", f"{what}: requests a pod", total / (SHARDS * len(CLUSTER_STAGES)), ""),
        ]
        print(f"  {what}: {dict(sorted(calls.items()))}", flush=True)
    return rows


def _run(folder: Path, seconds: int) -> tuple[int, dict[str, int], float]:
    sys.path.insert(0, str(Path(__file__).parents[1]))  # the suites' own modules
    sys.path.insert(0, str(Path(__file__).parents[1] / "releases"))
    from release import REGISTRY, Release, cluster_for_releases
    from servers import ACCESS_KEY, SECRET_KEY, S3Server, create_bucket, serve_seaweedfs

    from tests.fakekube import Image, Node

    folder.mkdir()
    # Not below /tmp: there a pod sees its own emptyDir.
    programs = Path(tempfile.mkdtemp(prefix="skutune-bench-", dir=Path.home() / ".cache"))
    (programs / "flags").mkdir()
    script = programs / "skutune"
    program = Path(sys.executable).parent / "skutune"
    script.write_text(_PROGRAM.format(program=program, folder=programs / "flags", seconds=seconds))
    script.chmod(0o755)
    (programs / "torchrun").symlink_to(script)
    image = Image(path=programs)
    images = {f"{REGISTRY}/skutune-{name}": image for name in ("controller", "generate", "train")}
    node = Node("n", labels={"nvidia.com/gpu.present": "true"}, allocatable={"nvidia.com/gpu": SHARDS})
    with (
        serve_seaweedfs(_made(folder / "s3")) as endpoint,
        cluster_for_releases(images=images, nodes=[node]) as cluster,
    ):
        server = S3Server(endpoint, ACCESS_KEY, SECRET_KEY, "catalogs")
        create_bucket(server)
        os.environ.update(server.environment)
        values = {
            "until": "",
            "config": {
                "catalog": {"buckets": SHARDS},
                "models": {"base": {"name": "owner/base", "revision": "0" * 40}},
            },
            "gpu": {"devices": SHARDS},
            "extraEnv": [],
            "defaults": {"shards": SHARDS},
            "stages": {"finetune": {"devices": 8}},
        }
        release = Release(cluster, server, _made(folder / "release"), values=values)
        release.values["extraEnv"] = []
        started = time.monotonic()
        with _workers(open_store(release.store), programs / "flags", release.store), _memory() as peak:
            release.install()
            code, words = release.wait_until_ended(900)
        assert code == 0, f"{words}\n{release.controller_log()}"
        took = time.monotonic() - started
        calls = _calls(cluster)
    shutil.rmtree(programs)
    return peak[0], calls, took


def _calls(cluster: object) -> dict[str, int]:
    """Requests of the controller's ServiceAccount, by verb and resource."""
    found: dict[str, int] = {}
    for (verb, resource, user), count in cluster.calls.items():  # type: ignore[attr-defined]
        if "serviceaccount" in user:
            found[f"{verb} {resource}"] = found.get(f"{verb} {resource}", 0) + count
    return found


@contextmanager
def _workers(store: ObjectStore, flags: Path, uri: str) -> Iterator[None]:
    """Write, for each task that appears, what its shards would have made."""
    ended = threading.Event()

    def work() -> None:
        seen: set[str] = set()
        while not ended.wait(0.2):
            for info in list(store.list("sample/")):
                if "/task-a" in info.key and info.key not in seen:
                    seen.add(info.key)
                    _make(store, manifests.read_task(store, info.key))
                    (flags / f"{uri}/{info.key}".replace("/", "_").replace(":", "_")).touch()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    yield
    ended.set()
    thread.join()


def _make(store: ObjectStore, task: Task) -> None:
    stage = CLUSTER_STAGES[task.stage]
    figures = {}
    if task.stage == "models":
        figures["models"] = {role: {"name": "s3://b/models/x", "identity": "scripted"} for role in task.models}
    for shard, parts in enumerate(task.shards):
        entries = []
        for part in parts if stage.kind == "map" else [0]:
            name = f"part-{part:05d}-x.parquet" if task.stage != "report" else "report.html"
            store.put(f"{task.folder}/{name}", b"x")
            entries.append(Entry("report.html" if task.stage == "report" else "", part, name, 1, 0, 1, "x"))
        if task.stage == "report":
            entries = [replace(entry, part=-1) for entry in entries]
        made = Manifest(task.stage, task.fingerprint, SHARDS, tuple(entries), figures=figures)
        manifests.write_shard_manifest(store, task, shard, made)
        progress = {"done": 1, "total": 1, "unit": "items", "rows": 1, "rejected": 0, "completion_tokens": 1}
        store.put(
            f"{task.folder}/progress-a{task.attempt}-{shard}.json", json.dumps({**progress, "seconds": 1.0}).encode()
        )


@contextmanager
def _memory() -> Iterator[list[int]]:
    """The peak resident memory of the controller's process, in bytes, once the block has ended."""
    peak, ended = [0], threading.Event()

    def look() -> None:
        while not ended.wait(0.2):
            for folder in Path("/proc").glob("[0-9]*"):
                try:
                    command = (folder / "cmdline").read_bytes().split(b"\0")
                    status = (folder / "status").read_text()
                except OSError:
                    continue
                if b"controller" in command and b"-c" in command:
                    line = next((line for line in status.splitlines() if line.startswith("VmHWM")), "VmHWM: 0 kB")
                    peak[0] = max(peak[0], int(line.split()[1]) * 1024)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    yield peak
    ended.set()
    thread.join()


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
