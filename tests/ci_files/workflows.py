"""Runs the steps of the CI files like GitHub Actions and GitLab CI: bash, variables, values passed between steps."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
GITHUB = ROOT / "k8s" / "ci" / "github-actions.yaml"
GITLAB = ROOT / "k8s" / "ci" / "gitlab-ci.yaml"


@dataclass
class Step:
    """A completed step: its name, exit code and output."""

    name: str
    code: int
    printed: str


@dataclass
class Ci:
    """A CI machine: a checkout of the user's repository, and the configured secrets and variables."""

    folder: Path
    environment: Mapping[str, str]
    settings: Mapping[str, str] = field(default_factory=dict)  # secrets and variables
    limit_seconds: float = 60.0

    def github(self, *jobs: str) -> list[Step]:
        """Run jobs of the workflow in order, up to the first step that fails."""
        workflow = yaml.safe_load(GITHUB.read_text())
        done: list[Step] = []
        for name in jobs:
            env_file = self.folder / f"{name}-environment"
            env_file.touch()
            for step in workflow["jobs"][name]["steps"]:
                if "run" not in step:
                    continue  # an action such as checkout
                variables = {**workflow["env"], **step.get("env", {})}
                known = {key: self._expand(str(value)) for key, value in variables.items()}
                known |= dict(line.split("=", 1) for line in env_file.read_text().splitlines())
                known |= {"GITHUB_ENV": str(env_file), "RUNNER_TEMP": str(self.folder), "GITHUB_RUN_ID": "4711"}
                known |= {"GITHUB_RUN_ATTEMPT": "1", "GITHUB_RUN_NUMBER": "17"}
                done.append(self._bash(step["name"], step["run"], known))
                if done[-1].code:
                    return done
        return done

    def gitlab(self, *jobs: str, job_id: str = "4711") -> list[Step]:
        """Run jobs of the pipeline in order, up to the first that fails."""
        pipeline = yaml.load(GITLAB.read_text(), _GitLabLoader)
        done: list[Step] = []
        for name in jobs:
            known = {**pipeline["variables"], **self.settings, "CI_JOB_ID": job_id, "CI_PIPELINE_IID": "18"}
            done.append(self._bash(name, "\n".join(pipeline[name]["script"]), known))
            if done[-1].code:
                return done
        return done

    def _expand(self, value: str) -> str:
        """Replace `${{ secrets.X }}` and `${{ vars.X || 'default' }}` by the settings."""

        def setting(match: re.Match[str]) -> str:
            return self.settings.get(match["name"]) or match["default"] or ""

        expression = r"\$\{\{ (?:secrets|vars)\.(?P<name>\w+)(?: \|\| '(?P<default>[^']*)')? \}\}"
        filled = re.sub(expression, setting, value)
        assert "${{" not in filled, f"unsupported expression: {value}"
        return filled

    def _bash(self, name: str, script: str, variables: Mapping[str, str]) -> Step:
        """Run a script as both CIs do: it ends at the first command that fails."""
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
        environment = {**self.environment, **{key: str(value) for key, value in variables.items()}}
        process = subprocess.Popen(
            command, cwd=self.folder, env=environment, text=True, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            printed, _ = process.communicate(timeout=self.limit_seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise
        return Step(name, process.returncode, printed)


class _GitLabLoader(yaml.SafeLoader):
    """A YAML loader with GitLab's `!reference`."""


_GitLabLoader.add_constructor("!reference", lambda loader, node: loader.construct_sequence(node))


def repository(folder: Path, catalog: str) -> Path:
    """A user's repository: a catalog, the values, and the files from k8s/ci."""
    (folder / "catalog").mkdir(parents=True)
    (folder / "catalog" / "products.csv").write_text(catalog)
    for name in ("k8s", "helm"):
        os.symlink(ROOT / name, folder / name)
    os.symlink(ROOT / "helm" / "skutune" / "examples" / "kind-cpu.yaml", folder / "values.yaml")
    return folder


def jobs_of(file: Path) -> dict[str, Any]:
    """The jobs of one of the files."""
    if file == GITHUB:
        found: dict[str, Any] = yaml.safe_load(file.read_text())["jobs"]
        return found
    keywords = ("stages", "variables")
    return {name: job for name, job in yaml.load(file.read_text(), _GitLabLoader).items() if name not in keywords}
