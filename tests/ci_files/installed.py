"""A release installed for CI: the real chart, a suspended schedule, and the permissions of k8s/ci-access.yaml.

Its pods run a stub of skutune whose exit code a test sets, to test how CI waits for a run.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kubernetes_tools import helm4, kubectl

from tests.fakekube import Cluster, Image

ROOT = Path(__file__).resolve().parents[2]
KUBERNETES = ROOT / "k8s"
WAIT = KUBERNETES / "ci" / "wait-for-run.sh"
EXAMPLE = ROOT / "helm" / "skutune" / "examples" / "kind-cpu.yaml"
NAMESPACE, RELEASE, CRON_JOB = "skutune", "fall-catalog", "fall-catalog-skutune"
SECRET = ("--from-literal=AWS_ACCESS_KEY_ID=skutune", "--from-literal=AWS_SECRET_ACCESS_KEY=trial-key")
STATUS = f"{CRON_JOB}-status"
REASON = "the catalog has no column product_id"

_STAND_IN = """#!/bin/sh
cd FOLDER
outcome=$(cat outcome)
case $outcome in
  hang) exec sleep 600 ;;
  heal) mkdir tried 2>/dev/null && exit 1; exit 0 ;;
  0) exit 0 ;;
esac
echo '{"event": "error", "message": "REASON", "exit_code": '$outcome'}' >&2
exit $outcome
"""


@dataclass
class Installed:
    """The installed release, and CI's access to it."""

    cluster: Cluster
    folder: Path

    def ends(self, outcome: str) -> None:
        """Set how controllers end: an exit code, `hang`, or `heal` (fails once)."""
        tried = self.folder / "tried"
        if tried.exists():
            tried.rmdir()
        (self.folder / "outcome").write_text(outcome)

    @property
    def environment(self) -> dict[str, str]:
        """The CI's environment: its own kubeconfig, and a short `sleep`, so that polling takes no ten seconds."""
        tools = f"{self.folder / 'fast'}:{kubectl().parent}:{helm4().parent}"
        account = self.cluster.kubeconfig_for("skutune-ci", NAMESPACE)
        return {"PATH": f"{tools}:{os.environ['PATH']}", "KUBECONFIG": str(account), "HOME": str(self.folder)}

    def start(self, job: str) -> None:
        """Start a run as CI does."""
        command = ["kubectl", "-n", NAMESPACE, "create", "job", job, f"--from=cronjob/{CRON_JOB}"]
        subprocess.run(command, env=self.environment, check=True, capture_output=True)

    def wait(self, job: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Wait for a run as CI does, for at most 30 s."""
        command = [str(WAIT), "-n", NAMESPACE, "-t", "30", *options, job]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60)

    def waiting(self, job: str, *options: str) -> subprocess.Popen[str]:
        """Start a wait in the background."""
        command = [str(WAIT), "-n", NAMESPACE, *options, job]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=self.environment, stdout=pipe, stderr=pipe, text=True)

    def write_status(self, summary: str) -> None:
        """Write the release's status as a controller does."""
        self.cluster.patch("configmaps", STATUS, {"data": {"summary": summary}}, NAMESPACE)

    def pods(self, job: str) -> list[str]:
        """The names of a Job's pods."""
        found = self.cluster.list("pods", NAMESPACE, labels={"batch.kubernetes.io/job-name": job})
        return [pod["metadata"]["name"] for pod in found]

    def condition(self, job: str) -> str:
        """Complete, Failed, or nothing yet."""
        conditions = self.cluster.get("jobs", job, NAMESPACE)["status"].get("conditions") or []
        true = [each["type"] for each in conditions if each["status"] == "True"]
        return next((each for each in true if each in ("Complete", "Failed")), "")

    def run(self, *command: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command as the cluster's administrator."""
        variables = {**self.environment, "KUBECONFIG": str(self.cluster.kubeconfig), **(environment or {})}
        return subprocess.run(command, env=variables, cwd=ROOT, check=True, capture_output=True, text=True)


@contextmanager
def installed_release(folder: Path) -> Iterator[Installed]:
    """The release on its own cluster."""
    # Not below /tmp, which is a volume in the pods and would hide the programs.
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="programs-") as programs:
        yield from _installed(folder, Path(programs))


def _installed(folder: Path, programs: Path) -> Iterator[Installed]:
    fast = folder / "fast"
    fast.mkdir()
    for place, name, text in (
        (programs, "skutune", _STAND_IN.replace("FOLDER", str(folder)).replace("REASON", REASON)),
        (fast, "sleep", "#!/bin/sh\nexec /bin/sleep 0.3\n"),
    ):
        (place / name).write_text(text)
        (place / name).chmod(0o755)
    images = {f"localhost/skutune-{name}": Image(path=programs) for name in ("controller", "generate", "train")}
    with Cluster(images=images) as cluster:
        release = Installed(cluster, folder)
        release.run("kubectl", "apply", "-f", "k8s/namespace.yaml", "-f", "k8s/ci-access.yaml")
        release.run("kubectl", "-n", NAMESPACE, "create", "secret", "generic", "trial-s3", *SECRET)
        release.run(
            "helm", "install", RELEASE, "helm/skutune", "--namespace", NAMESPACE, "--values", str(EXAMPLE),
            "--set", "schedule.cron=0 3 * * *", "--set", "schedule.suspend=true",
        )  # fmt: skip
        yield release


def until(predicate: object, seconds: float = 20.0) -> None:
    """Wait until a callable returns a true value."""
    deadline = time.monotonic() + seconds
    while not predicate():  # type: ignore[operator]
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.05)
