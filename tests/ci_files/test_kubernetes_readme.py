"""Runs the commands of k8s/README.md as printed.

make, kind and port forwarding are stubs. The cluster is the API server double, whose pods are local processes. kubectl,
helm, the chart, the controller, its workers and the S3 server of k8s/s3.yaml are real.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from kubernetes_tools import helm4, kubectl
from trial_s3 import ROOT, serve

from tests.fakekube import Cluster, Image, Node
from tests.fakekube.rbac import token_of

NAMESPACE = "skutune"
README = ROOT / "k8s" / "README.md"
KEY = "0123456789abcdef"
TIMEOUT_SECONDS = 400.0  # the trial takes 30 s on two idle cores

_KUBECTL = f"""#!/bin/sh
for word in "$@"; do
  [ "$word" != port-forward ] || exit 0
done
exec {kubectl()} "$@"
"""


def commands(section: str) -> list[str]:
    """The commands below a heading, up to the next one, with continued lines joined."""
    text = re.split(rf"^##+ {re.escape(section)}\n", README.read_text(), flags=re.M)[1]
    text = re.split(r"^##+ ", text, flags=re.M)[0]
    blocks = re.findall(r"^```console\n(.*?)^```", text, flags=re.M | re.S)
    joined = "".join(blocks).replace("\\\n", " ")
    return [line[2:] for line in joined.splitlines() if line.startswith("$ ")]


class Terminal:
    """A shell that stays open between commands."""

    def __init__(self, folder: Path, cluster: Cluster, endpoint: str) -> None:
        self.folder, self.endpoint = folder, endpoint
        programs = folder / "programs"
        programs.mkdir()
        for name, text in (
            ("kubectl", _KUBECTL),
            ("openssl", f"#!/bin/sh\necho {KEY}\n"),
            ("kind", "#!/bin/sh\nexit 0\n"),
            ("make", "#!/bin/sh\nexit 0\n"),
            ("sleep", "#!/bin/sh\nexec /bin/sleep 0.5\n"),
        ):
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        for name in ("k8s", "helm", "src"):
            (folder / name).symlink_to(ROOT / name)
        (folder / ".venv").symlink_to(sys.prefix)
        values = (ROOT / "helm" / "skutune" / "examples" / "kind-cpu.yaml").read_text()
        (folder / "values.yaml").write_text(values.replace("http://trial-s3:8333", endpoint))
        configuration = folder / "kubeconfig"
        configuration.write_text(cluster.kubeconfig.read_text())
        self.environment = {
            "PATH": f"{programs}:{helm4().parent}:{os.environ['PATH']}",
            "KUBECONFIG": str(configuration), "HOME": str(folder), "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }  # fmt: skip

    def run(self, lines: list[str]) -> str:
        """Run these lines; what they printed. The names of services are those of this machine."""
        script = "set -euo pipefail\n" + "\n".join(lines)
        script = script.replace("http://localhost:8333", self.endpoint)
        script = script.replace("helm/skutune/examples/kind-cpu.yaml", "values.yaml")
        process = subprocess.Popen(
            ["bash", "-x", "-c", script], cwd=self.folder, env=self.environment, text=True, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        end = threading.Timer(TIMEOUT_SECONDS, os.killpg, [process.pid, signal.SIGKILL])
        end.start()
        printed, _ = process.communicate()
        end.cancel()
        assert process.returncode == 0, printed[-6000:]
        return printed


@contextmanager
def opened(folder: Path, program: Image) -> Iterator[Terminal]:
    """A terminal with a cluster of its own, where the controller's image is this program."""
    worker = Node("skutune-worker", labels={"nvidia.com/gpu.present": "true"})
    with (
        serve({"AWS_ACCESS_KEY_ID": "skutune", "AWS_SECRET_ACCESS_KEY": KEY}) as endpoint,
        Cluster(images={"localhost/skutune-controller": program}, nodes=[worker]) as cluster,
    ):
        threading.Thread(target=_roll_out, args=[cluster], daemon=True).start()
        yield Terminal(folder, cluster, endpoint)


def _roll_out(cluster: Cluster) -> None:
    """Act as the Deployment controller, which the API server double lacks."""
    cluster.wait(lambda: cluster.exists("deployments", "trial-s3", NAMESPACE), seconds=60)
    counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), 1)
    status = {"observedGeneration": 1, **counts}
    cluster.patch("deployments", "trial-s3", {"status": status}, NAMESPACE, status=True)


def test_the_trial_works_as_printed(tmp_path: Path) -> None:
    lines = commands("A trial on kind")
    assert len(lines) > 15
    # Shorter intervals than on a cluster, and no metrics port, which may be taken on this machine.
    settings = {"OMP_NUM_THREADS": "1", "SKUTUNE_INTERVAL_FACTOR": "0.05", "SKUTUNE_METRICS_PORT": "0"}
    with opened(tmp_path, Image(path=Path(sys.executable).parent, env=settings)) as terminal:
        printed = terminal.run(lines)
    assert re.search(r"^trial-compose-\S+ +Complete +1/1", printed, flags=re.M)
    assert "Baked Beans" in printed
    assert 'release "trial" uninstalled' in printed


def test_the_other_commands_work_as_printed(tmp_path: Path) -> None:
    """The pods run a stub that succeeds at once; the trial's test covers the real program."""
    trial = commands("A trial on kind")
    before = [line for line in trial if line.startswith("kubectl") and "get jobs" not in line]
    with tempfile.TemporaryDirectory(dir="/var/tmp") as programs:  # /tmp is a volume of the pods
        program = Path(programs, "skutune")
        program.write_text("#!/bin/sh\nexit 0\n")
        program.chmod(0o755)
        with opened(tmp_path, Image(path=programs)) as terminal:
            terminal.run([*before, *commands("Simulated GPUs")])
            assert terminal.run(commands("Retraining in CI")).splitlines()[-1] == "yes"
    # kubectl sends no token over plain HTTP, so that this cluster cannot judge it; rights have tests of their own.
    made = yaml.safe_load((tmp_path / "ci.kubeconfig").read_text())
    (user,) = made["users"]
    assert user == {"name": "skutune-ci", "user": {"token": token_of("skutune-ci", NAMESPACE)}}
    (context,) = made["contexts"]
    assert {"user": "skutune-ci", "namespace": NAMESPACE}.items() <= context["context"].items()
