"""Renders the chart with a real helm. Results are cached for the process."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from kubernetes_tools import helm3, helm4

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "helm" / "skutune"
EXAMPLES = {path.stem: path for path in sorted((CHART / "examples").glob("*.yaml"))}
HELMS: dict[str, Callable[[], Path]] = {"helm 3": helm3, "helm 4": helm4}
ONE_NODE = "8-gpus-one-node"

Object = dict[str, Any]


class RenderError(Exception):
    """helm failed; the text is its error message."""


class Rendered(list[Object]):
    """The objects of a release."""

    def of(self, kind: str) -> list[Object]:
        return [item for item in self if item["kind"] == kind]

    def one(self, kind: str, ending: str = "") -> Object:
        found = [item for item in self.of(kind) if item["metadata"]["name"].endswith(ending)]
        assert len(found) == 1, f"{len(found)} objects {kind} …{ending}"
        return found[0]

    def stage(self, name: str) -> Object:
        """The PodTemplate of a stage."""
        return next(item for item in self.of("PodTemplate") if item["metadata"]["labels"]["skutune.io/stage"] == name)

    def worker(self, name: str) -> Object:
        """The container of a stage's pod."""
        return self.stage(name)["template"]["spec"]["containers"][0]

    def controller_file(self) -> dict[str, Any]:
        return yaml.safe_load(self.controller_text())

    def controller_text(self) -> str:
        return self.one("ConfigMap", "-config")["data"]["controller.yaml"]

    def pods(self) -> Iterator[tuple[str, Object]]:
        """The template (metadata and spec) of every pod that a release may start, with a name for messages."""
        for item in self:
            name = f"{item['kind']} {item['metadata']['name']}"
            match item["kind"]:
                case "PodTemplate":
                    yield name, item["template"]
                case "Job":
                    yield name, item["spec"]["template"]
                case "CronJob":
                    yield name, item["spec"]["jobTemplate"]["spec"]["template"]
                case "Pod":
                    yield name, item


def render(
    example: str = ONE_NODE, changes: dict[str, Any] | None = None, *, release: str = "fall", helm: str = "helm 4"
) -> Rendered:
    """Render an example with changed values. Raises RenderError with helm's message."""
    return Rendered(json.loads(_parsed(template(example, changes, release=release, helm=helm))))


def template(
    example: str = ONE_NODE, changes: dict[str, Any] | None = None, *, release: str = "fall", helm: str = "helm 4"
) -> str:
    """The output of `helm template`."""
    return _template(example, json.dumps(changes or {}), release, helm)


def environment(container: Object) -> dict[str, Any]:
    """The environment of a container: values, or their sources."""
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container["env"]}


@cache
def _template(example: str, changes: str, release: str, helm: str) -> str:
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(changes)
        file.flush()
        values = ["-f", str(EXAMPLES[example]), "-f", file.name]
        command = [str(HELMS[helm]()), "template", release, str(CHART), "--namespace", "team", *values]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RenderError(done.stderr)
    return done.stdout


@cache
def _parsed(text: str) -> str:
    """The objects as JSON, which each test parses anew, faster than YAML."""
    return json.dumps([item for item in yaml.load_all(text, yaml.CSafeLoader) if item is not None])
