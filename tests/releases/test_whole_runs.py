"""A run from `helm install` to `helm uninstall`."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable

import kubernetes_tools
import pytest
from release import NAMESPACE, Release

from skutune.pipeline.graph import selected
from skutune.store import open_store
from tests.fakekube import Cluster

KINDS = "jobs,cronjobs,pods,podtemplates,configmaps,services,serviceaccounts,roles,rolebindings,networkpolicies,secrets"


@pytest.mark.parametrize("helm", ["helm3", "helm4"])
def test_a_release_produces_the_same_output_as_a_local_run(
    helm: str, cluster: Cluster, release: Callable[..., Release], undisturbed: dict[str, list[str]]
) -> None:
    mine = release(helm=getattr(kubernetes_tools, helm)())
    before = _objects(mine)
    notes = mine.install().stdout
    code, words = mine.ended()
    assert code == 0, f"{words}\n{mine.controller_log()}"

    assert mine.pipeline.tables() == undisturbed
    assert 1 < cluster.peak("nvidia.com/gpu") <= 8
    _reads_as_the_pipeline(mine)
    _tells_how_it_went(mine)
    _every_command_works(mine, notes)

    mine.uninstall()
    assert cluster.wait(lambda: _objects(mine) == before, 20), _objects(mine) - before
    assert mine.pipeline.tables() == undisturbed


def _objects(release: Release) -> set[str]:
    listed = release.kubectl("get", KINDS, "-o", "name").split()
    return {name for name in listed if "kube-root-ca" not in name and "store-credentials" not in name}


def _reads_as_the_pipeline(release: Release) -> None:
    columns = ("-L", "skutune.io/step,skutune.io/stage,skutune.io/attempt", "--sort-by=.metadata.creationTimestamp")
    table = release.kubectl("get", "jobs", "-l", "app.kubernetes.io/component=stage", *columns)
    stages = [line.split()[-2] for line in table.splitlines()[1:]]
    assert sorted(stages) == sorted(["models", *(stage.name for stage in selected("compose"))])
    assert all("Complete" in line for line in table.splitlines()[1:]), table


def _tells_how_it_went(release: Release) -> None:
    text = release.status_text()
    assert "run sample: done (exit code 0)" in text
    assert re.search(r"^compose +done .* 100 %", text, re.MULTILINE), text
    command = [sys.executable, "-m", "skutune", "status", "--store", release.store, "--run", "sample"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "compose" in shown
    assert "all stages are done" in shown
    reasons = {event["reason"] for event in release.cluster.list("events", NAMESPACE)}
    assert {"StageStarted", "StageCompleted", "RunCompleted"} <= reasons


def _every_command_works(release: Release, notes: str) -> None:
    """The commands that NOTES prints, but the last, which ends the release."""
    commands = [line.strip() for line in notes.splitlines() if re.match(r"  (kubectl|helm) ", line)]
    assert len(commands) >= 6, notes
    tools = {"kubectl": str(kubernetes_tools.kubectl()), "helm": str(release.helm)}
    for command in commands[:-1]:
        program, rest = command.split(" ", 1)
        environment = {"KUBECONFIG": str(release.cluster.kubeconfig), "PATH": "/usr/bin:/bin", "HOME": "/tmp"}
        done = subprocess.run(
            f"{tools[program]} {rest.replace('logs -f', 'logs')}",
            shell=True, capture_output=True, text=True, env=environment, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"


def test_the_runs_record_names_its_owner(release: Callable[..., Release]) -> None:
    mine = release(values={"until": "ingest"})
    mine.install()
    code, words = mine.ended()
    assert code == 0, f"{words}\n{mine.controller_log()}"
    assert b"owner: shop/fall" in open_store(mine.store).get("sample/run.yaml")
