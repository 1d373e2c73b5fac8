"""What a command line, a controller or a CI job starts must not pull in what only models need."""

from __future__ import annotations

import json
import subprocess
import sys

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
        ("skutune.local", ("pyarrow",)),
        ("skutune.worker", ("pyarrow",)),
        ("skutune.stages.compose", ("pyarrow",)),
        ("skutune.engines.scripted", ()),
    ],
)
def test_a_module_imports_nothing_heavy(module: str, allowed: tuple[str, ...]) -> None:
    program = f"import sys, json, {module}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout))
    assert sorted(loaded.intersection(HEAVY) - set(allowed)) == []


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
