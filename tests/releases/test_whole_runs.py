"""A run from `helm install` to `helm uninstall`."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable

import kubernetes_tools
from release import NAMESPACE, Release

from skutune.pipeline.graph import selected
from skutune.store import open_store
from tests.fakekube import Cluster

KINDS = "jobs,cronjobs,pods,podtemplates,configmaps,services,serviceaccounts,roles,rolebindings,networkpolicies,secrets"


def test_a_release_produces_the_same_output_as_a_local_run(
    cluster: Cluster, make_release: Callable[..., Release], local_output: dict[str, list[str]]
) -> None:
    release = make_release(helm=kubernetes_tools.helm3())  # upgrades and rollbacks are tested with Helm 4
    before = _objects(release)
    notes = release.install().stdout
    code, message = release.wait_until_ended()
    assert code == 0, f"{message}\n{release.controller_log()}"

    assert release.pipeline.tables() == local_output
    assert 1 < cluster.peak("nvidia.com/gpu") <= 8
    _check_job_list(release)
    _check_status(release)
    _check_printed_commands(release, notes)

    release.uninstall()
    assert cluster.wait(lambda: _objects(release) == before, 20), _objects(release) - before
    assert release.pipeline.tables() == local_output


def _objects(release: Release) -> set[str]:
    listed = release.kubectl("get", KINDS, "-o", "name").split()
    return {name for name in listed if "kube-root-ca" not in name and "store-credentials" not in name}


def _check_job_list(release: Release) -> None:
    columns = ("-L", "skutune.io/step,skutune.io/stage,skutune.io/attempt", "--sort-by=.metadata.creationTimestamp")
    table = release.kubectl("get", "jobs", "-l", "app.kubernetes.io/component=stage", *columns)
    stages = [line.split()[-2] for line in table.splitlines()[1:]]
    assert sorted(stages) == sorted(["models", *(stage.name for stage in selected("compose"))])
    assert all("Complete" in line for line in table.splitlines()[1:]), table


def _check_status(release: Release) -> None:
    text = release.status_text()
    assert "run sample: done (exit code 0)" in text
    assert re.search(r"^compose +done .* 100 %", text, re.MULTILINE), text
    command = [sys.executable, "-m", "skutune", "status", "--store", release.store, "--run", "sample"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "compose" in shown
    assert "all stages are done" in shown
    reasons = {event["reason"] for event in release.cluster.list("events", NAMESPACE)}
    assert {"StageStarted", "StageCompleted", "RunCompleted"} <= reasons


def _check_printed_commands(release: Release, notes: str) -> None:
    """Run the commands in NOTES, except the last, which uninstalls the release."""
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


def test_the_runs_record_names_its_owner(make_release: Callable[..., Release]) -> None:
    release = make_release(values={"until": "ingest"})
    release.install()
    code, message = release.wait_until_ended()
    assert code == 0, f"{message}\n{release.controller_log()}"
    assert b"owner: shop/fall" in open_store(release.store).get("sample/run.yaml")
