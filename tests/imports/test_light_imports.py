"""What a command line, a controller or a CI job starts must not pull in what only models need."""

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
        ("skutune.manifests", ()),
        ("skutune.graph", ()),
        ("skutune.runs", ()),
        ("skutune.store", ()),
        ("skutune.config", ()),
        ("skutune.catalog", ()),
        ("skutune.submission", ()),
        ("skutune.versions", ()),
        ("skutune.local", ("pyarrow",)),
        ("skutune.worker", ("pyarrow",)),
        ("skutune.stages.compose", ("pyarrow",)),
        ("skutune.stages.models", ("pyarrow",)),
        ("skutune.engines.scripted", ()),
    ],
)
def test_a_module_imports_nothing_heavy(module: str, allowed: tuple[str, ...]) -> None:
    program = f"import sys, json, {module}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout))
    assert sorted(loaded.intersection(HEAVY) - set(allowed)) == []


# Every stage of a run, submitted and merged as a controller does it, with a store in a folder.
SUBMIT = """
import json, sys, tempfile
from skutune import graph, manifests, submission
from skutune.config import parse
from skutune.manifests import Entry, Manifest
from skutune.store import open_store

store = open_store(tempfile.mkdtemp(dir=sys.argv[1]))
models = {role: {"name": "/" + role} for role in ("generator", "encoder", "base")}
config = parse({"run": "light", "catalog": {"source": "c.csv", "buckets": 64}, "models": models}, "test")
info, done = submission.open_run(store, config, None), {}
for stage in graph.CLUSTER_STAGES.values():
    draft = submission.draft(config, info, stage, done, dict.fromkeys(models, "identity"), "")
    task = submission.numbered(store, info, stage, draft, submission.missing(store, stage, draft, 64), 8)
    manifests.write_task(store, task)
    entries = tuple(Entry("", part, f"{part}", 1, 0, 1, "d") for part in range(64))
    for entry in entries:
        store.put(f"{task.folder}/{entry.name}", b"x")
    manifests.write_shard_manifest(store, task, 0, Manifest(stage.name, task.fingerprint, 64, entries))
    done[stage.name] = submission.merged(store, stage, task, 64)
    manifests.write_manifest(store, task.folder, done[stage.name])
    info = submission.noted(store, info, stage, task, done[stage.name])
# Not ru_maxrss, which a process inherits from the one that started it.
(kibibytes,) = [int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(json.dumps({"modules": sorted(sys.modules), "mebibytes": kibibytes / 1024}))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a process's own peak is told by Linux alone")
def test_submitting_and_merging_every_stage_loads_nothing_heavy(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", SUBMIT, str(tmp_path)], capture_output=True, text=True, check=True)
    said = json.loads(done.stdout)
    loaded = set(said["modules"])
    assert sorted(loaded.intersection(HEAVY)) == []
    assert not [name for name in loaded if name.startswith(("skutune.stages", "skutune.engines", "skutune.tables"))]
    assert said["mebibytes"] < 60  # of the 100 that a controller may take with its clients


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
