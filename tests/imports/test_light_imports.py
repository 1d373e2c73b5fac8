"""The command line and the controller must not import the dependencies of models."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    "torch",
    "transformers",
    "vllm",
    "boto3",
    "kubernetes",
    "pyarrow",
    "sklearn",
    "datasets",
    "sentence_transformers",
)


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("skutune.cli", ()),
        ("skutune.pipeline.manifests", ()),
        ("skutune.pipeline.graph", ()),
        ("skutune.pipeline.runs", ()),
        ("skutune.store", ()),
        ("skutune.config.schema", ()),
        ("skutune.catalog", ()),
        ("skutune.pipeline.submit", ()),
        ("skutune.pipeline.code_version", ()),
        ("skutune.local.runner", ("pyarrow",)),
        ("skutune.worker.run_shard", ("pyarrow",)),
        ("skutune.stages.compose", ("pyarrow",)),
        ("skutune.stages.models", ("pyarrow",)),
        ("skutune.engines.scripted.engine", ()),
    ],
)
def test_a_module_imports_nothing_heavy(module: str, allowed: tuple[str, ...]) -> None:
    program = f"import sys, json, {module}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout))
    assert sorted(loaded.intersection(HEAVY) - set(allowed)) == []


# Submits and merges every stage of a run as the controller does, with a local store.
SUBMIT = """
import json, sys, tempfile
from skutune.config.load import parse_config
from skutune.pipeline import graph, manifests, submit
from skutune.pipeline.manifests import Entry, Manifest
from skutune.pipeline.stage_folder import StageFolder
from skutune.store import open_store

store = open_store(tempfile.mkdtemp(dir=sys.argv[1]))
models = {role: {"name": "/" + role} for role in ("generator", "encoder", "base")}
config = parse_config({"run": "light", "catalog": {"source": "c.csv", "buckets": 64}, "models": models}, "test")
info, done = submit.open_run(store, config, None), {}
for stage in graph.CLUSTER_STAGES.values():
    plan = submit.plan_task(config, info, stage, done, dict.fromkeys(models, "identity"), "")
    folder = StageFolder.read(store, plan.folder)
    task = submit.next_attempt(folder, info, stage, plan, submit.missing_parts(folder, stage, 64), 8)
    manifests.write_task(store, task)
    entries = tuple(Entry("", part, f"{part}", 1, 0, 1, "d") for part in range(64))
    for entry in entries:
        store.put(f"{task.folder}/{entry.name}", b"x")
    manifests.write_shard_manifest(store, task, 0, Manifest(stage.name, task.fingerprint, 64, entries))
    done[stage.name] = submit.merge_attempts(StageFolder.read(store, task.folder), stage, 64)
    manifests.write_manifest(store, task.folder, done[stage.name])
    info = submit.record_done(store, info, stage, task, done[stage.name])
# Not ru_maxrss, which a process inherits from its parent.
(kibibytes,) = [int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(json.dumps({"modules": sorted(sys.modules), "mebibytes": kibibytes / 1024}))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc/self/status")
def test_submitting_and_merging_every_stage_loads_nothing_heavy(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", SUBMIT, str(tmp_path)], capture_output=True, text=True, check=True)
    report = json.loads(done.stdout)
    loaded = set(report["modules"])
    assert sorted(loaded.intersection(HEAVY)) == []
    assert not [
        name for name in loaded if name.startswith(("skutune.stages", "skutune.engines", "skutune.pipeline.tables"))
    ]
    assert report["mebibytes"] < 60  # of 100 for the controller with its clients


def test_help_imports_nothing_heavy_and_lists_the_commands() -> None:
    program = "\n".join(
        [
            "import sys",
            "from skutune.cli import main",
            "try:",
            "    main(['--help'])",
            "finally:",
            "    print(sorted(sys.modules), file=sys.stderr)",
        ]
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for command in ("demo", "run", "status", "ask", "link", "explain", "report", "catalog", "config", "worker"):
        assert command in done.stdout
    assert not [name for name in HEAVY if f"'{name}'" in done.stderr]
