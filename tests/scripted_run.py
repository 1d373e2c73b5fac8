"""Runs over the sample catalog with the scripted engine: the complete data path without a model."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from skutune.pipeline import runs
from skutune.pipeline.graph import STAGES
from skutune.pipeline.manifests import read_manifest
from skutune.store import open_store

UNTIL = "compose"  # later stages need a model


@dataclass
class Pipeline:
    """A config in its own folder, run by the `skutune` command in a subprocess."""

    folder: Path
    store: str
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        return self.folder / "config.yaml"

    def write(self, **changes: object) -> None:
        """Write the config; `a__b=c` changes a.b."""
        document: dict[str, object] = {
            "run": "sample",
            "store": self.store,
            "catalog": {
                "source": str(self.folder / "grocery.csv"),
                "columns": {"id": "product_id", "name": "product_name", "attributes": ["aisle", "department"]},
                "buckets": 6,
            },
            "models": {
                "generator": {"name": "none", "engine": "scripted", "malformed_rate": 0.15},
                "encoder": {"name": "none", "engine": "scripted"},
                "base": {"name": "none"},
            },
            "stages": {
                "paraphrase": {"variants": 2},
                "question": {"per_product": 4},
                "classify": {"epochs": 0},  # avoids importing torch, which takes seconds
            },
        }
        for path, value in changes.items():
            node = document
            *parents, leaf = path.split("__")
            for parent in parents:
                node = node.setdefault(parent, {})  # type: ignore[assignment]
            node[leaf] = value
        self.config.write_text(yaml.safe_dump(document))

    def start(self, *options: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "skutune", "run", "-c", str(self.config), "--until", UNTIL, *options]
        environment = {**os.environ, **self.environment, "SKUTUNE_CACHE": str(self.folder / "cache")}
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
        )

    def run(self, *options: str) -> tuple[int, str]:
        """Run to completion; returns exit code and stderr."""
        process = self.start(*options)
        _, stderr = process.communicate(timeout=300)
        return process.returncode, stderr

    def wait_for(self, pattern: str, seconds: float = 60) -> None:
        """Wait until an object of the sample run exists (a glob in the run folder)."""
        deadline = time.monotonic() + seconds
        while not any(Path(self.store).glob(f"sample/{pattern}")):
            assert time.monotonic() < deadline, f"no {pattern} after {seconds} s"
            time.sleep(0.01)

    def kill_at(self, pattern: str, *options: str) -> None:
        """Kill a run and all its processes as soon as an object exists."""
        process = self.start(*options)
        self.wait_for(pattern)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()

    def run_and_kill(self, seconds: float, *options: str) -> bool:
        """Kill a run and all its processes after this time; returns whether it was still running."""
        process = self.start(*options)
        time.sleep(seconds)
        running = process.poll() is None
        os.killpg(process.pid, signal.SIGKILL) if running else None
        process.communicate()
        return running

    def tables(self, run: str = "sample") -> dict[str, list[str]]:
        """The fingerprint and the digests of all objects of each completed stage."""
        store = open_store(self.store)
        info = runs.require_run(store, run)
        tables = {}
        for stage in STAGES:
            fingerprint = info.fingerprint(stage)
            manifest = read_manifest(store, f"{run}/{stage}/{fingerprint}") if fingerprint else None
            if manifest is not None:
                tables[stage] = [fingerprint, *manifest.digests()]
        return tables

    def stage_file(self, stage: str, name: str, run: str = "sample") -> bytes:
        store = open_store(self.store)
        folder, manifest = runs.stage_output(store, runs.require_run(store, run), stage)
        return store.get(f"{folder}/{manifest.file(name).name}")
