"""The chart on the API server double: the printed commands work, and upgrades keep the status."""

import os
import re
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from chart_rendering import CHART, EXAMPLES, HELMS, ONE_NODE
from kubernetes_tools import kubectl

from tests.fakekube import Cluster, Image

MESSAGE = "the controller's message"


@dataclass
class Notes:
    """An installed release, whose controller is a stub, and the notes that helm printed."""

    cluster: Cluster
    helm: Path
    text: str = ""
    commands: list[str] = field(default_factory=list)

    def install(self, *options: str) -> None:
        command = f"{self.helm} install fall {CHART} -n shop --create-namespace"
        self.text = self.run(" ".join([command, *options])).stdout.partition("NOTES:")[2]
        self.commands = re.findall(r"^  ((?:kubectl|helm) .*)$", self.text, re.MULTILINE)

    def command(self, words: str) -> str:
        found = [command for command in self.commands if words in command]
        assert len(found) == 1, f"{words}: {found}"
        return found[0]

    def printed(self, words: str) -> subprocess.CompletedProcess[str]:
        """Run the only printed command that contains `words`."""
        return self.run(self.command(words))

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        folders = {kubectl().parent, self.helm.parent}
        path = ":".join([*map(str, folders), os.environ["PATH"]])
        environment = {**os.environ, "PATH": path, "KUBECONFIG": str(self.cluster.kubeconfig)}
        return subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=environment, timeout=60)


@pytest.fixture
def program(code: int) -> Iterator[Path]:
    """A folder with a `skutune` stub that prints a message and exits with `code`, and a `python` that does nothing.

    It is not below /tmp, which is a volume in the pods.
    """
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        yield fill(Path(folder), code)


def fill(folder: Path, code: int) -> Path:
    for name, end in (("skutune", code), ("python", 0)):
        path = folder / name
        path.write_text(f"#!/bin/sh\necho {shlex.quote(MESSAGE)}\nexit {end}\n")
        path.chmod(0o755)
    return folder


def write_programs(folder: Path, code: int) -> None:
    """Write a `skutune` stub that prints a message and exits with `code`, and a `python` that does nothing."""
    for name, end in (("skutune", code), ("python", 0)):
        path = folder / name
        path.write_text(f"#!/bin/sh\necho {shlex.quote(MESSAGE)}\nexit {end}\n")
        path.chmod(0o755)


@contextmanager
def cluster_with(helm: str, code: int) -> Iterator[Notes]:
    """A cluster whose controllers exit with `code`. Their image is not below /tmp, which is a volume in the pods."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        write_programs(Path(folder), code)
        with Cluster(images={"registry.example.com/ml/skutune-controller": Image(path=folder)}) as cluster:
            cluster.create({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "shop"}})
            named = {"name": "store-credentials", "namespace": "shop"}
            keys = {"AWS_ACCESS_KEY_ID": "YQ==", "AWS_SECRET_ACCESS_KEY": "Yg=="}
            cluster.create({"kind": "Secret", "apiVersion": "v1", "metadata": named, "data": keys})
            yield Notes(cluster, HELMS[helm]())


@pytest.mark.parametrize(("helm", "code"), [("helm 3", 0), ("helm 4", 20)])
def test_the_printed_commands_work_after_success_and_after_failure(helm: str, code: int) -> None:
    with cluster_with(helm, code) as notes:
        notes.install("-f", str(EXAMPLES[ONE_NODE]))
        assert len(notes.commands) == 7
        waited = notes.printed(" wait job/")
        assert waited.returncode == 0, waited.stderr
        condition = notes.printed(".status.conditions[-1:].type").stdout.partition(":")[0]
        assert condition in ({"Failed", "FailureTarget"} if code else {"Complete", "SuccessCriteriaMet"})
        assert MESSAGE in notes.printed(" logs -f job/").stdout
        for words in (".data.summary", "component=stage", " test fall", " uninstall fall"):
            done = notes.printed(words)
            assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        kinds = ("jobs", "pods", "configmaps", "podtemplates", "networkpolicies", "serviceaccounts", "roles")
        left = {item["metadata"]["name"] for kind in kinds for item in notes.cluster.list(kind, "shop")}
        assert left <= {"kube-root-ca.crt", "default"}


def test_a_run_can_be_started_from_a_suspended_schedule() -> None:
    with cluster_with("helm 4", 0) as notes:
        notes.install("-f", str(EXAMPLES["kueue"]), "--set schedule.suspend=true")
        started = notes.printed(" create job --from=cronjob/")
        assert started.returncode == 0, started.stderr
        name = started.stdout.strip().removesuffix(" created").split("/")[1]
        assert name in notes.printed("component=controller").stdout


@pytest.mark.parametrize("helm", HELMS)
def test_an_upgrade_replaces_the_job_only_after_a_change_and_keeps_the_status(helm: str) -> None:
    with cluster_with(helm, 0) as notes:

        def jobs() -> list[str]:
            return [job["metadata"]["uid"] for job in notes.cluster.list("jobs", "shop")]

        notes.install("-f", str(EXAMPLES[ONE_NODE]))
        patch = '{"data": {"summary": "half done"}}'
        assert notes.run(f"kubectl -n shop patch configmap fall-skutune-status -p '{patch}'").returncode == 0
        first = jobs()
        upgrade = f"{notes.helm} -n shop upgrade fall {CHART} -f {EXAMPLES[ONE_NODE]}"
        assert notes.run(upgrade).returncode == 0
        assert jobs() == first
        assert notes.run(f"{upgrade} --set rerun=1").returncode == 0
        assert len(jobs()) == 1
        assert jobs() != first
        assert notes.run(f"{notes.helm} -n shop rollback fall 1").returncode == 0
        assert notes.printed(".data.summary").stdout == "half done"
