"""A release of the chart on the API server double, with real helm, kubectl, workers and S3 server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kubernetes_tools
import yaml
from scripted_run import Pipeline
from servers import S3Server

from skutune.samples import write_sample
from skutune.store import open_store
from tests.fakekube import Cluster, Image, Node

CHART = Path(__file__).parents[2] / "helm" / "skutune"
REGISTRY = "registry.test"
NAMESPACE = "shop"
SECRET = "store-credentials"
PRODUCTS = 12
# Twenty times as fast as on a cluster: rounds every 50 ms, reads of the workers' progress every 0.75 s.
PACE = 0.05


@contextmanager
def cluster_for_releases(**changes: Any) -> Iterator[Cluster]:
    """A cluster with eight simulated devices on one node. The three images are this environment's programs."""
    program = Image(path=str(Path(sys.executable).parent), env={"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"})
    images = {f"{REGISTRY}/skutune-{name}": program for name in ("controller", "generate", "train")}
    node = Node("gpu-1", labels={"nvidia.com/gpu.present": "true"}, allocatable={"nvidia.com/gpu": 8})
    defaults = {"images": images, "nodes": [node], "rbac": True, "backoff_seconds": 0.2}
    with Cluster(**(defaults | changes)) as cluster:
        cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": {
            "pod-security.kubernetes.io/enforce": "restricted"}}})  # fmt: skip
        yield cluster


@dataclass
class Release:
    """One release and its run. `values` is the content of the values file."""

    cluster: Cluster
    server: S3Server
    folder: Path
    name: str = "fall"
    run: str = "sample"
    helm: Path = field(default_factory=kubernetes_tools.helm3)
    values: dict[str, Any] = field(default_factory=dict)
    namespace: str = NAMESPACE
    prefix: str = ""

    def __post_init__(self) -> None:
        self.store = f"s3://{self.server.bucket}/{self.prefix}{self.folder.name}"
        self.pipeline = Pipeline(self.folder, self.store, self.server.environment)
        write_sample(self.folder / "grocery.csv", PRODUCTS)
        self.upload(self.folder / "grocery.csv")
        self.pipeline.write(
            run=self.run, catalog__source=f"{self.store}/grocery.csv", models__generator__malformed_rate=0.15
        )
        self.values = merge_values(self._default_values(), self.values)

    def upload(self, path: Path) -> None:
        """Upload the catalog to `config.catalog.source`."""
        open_store(self.store).put("grocery.csv", path.read_bytes())

    def install(self, *options: str, **kwargs: Any) -> subprocess.CompletedProcess[str]:
        """Run `helm install`, after creating the store's Secret."""
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": SECRET, "namespace": self.namespace},
            "stringData": {
                "AWS_ACCESS_KEY_ID": self.server.access_key,
                "AWS_SECRET_ACCESS_KEY": self.server.secret_key,
            },
        }
        self.kubectl("apply", "-f", "-", stdin=json.dumps(secret))
        return self.run_helm("install", self.name, str(CHART), "-f", str(self._values_file()), *options, **kwargs)

    def upgrade(self, *options: str, **kwargs: Any) -> subprocess.CompletedProcess[str]:
        """Run `helm upgrade` with the current values."""
        return self.run_helm("upgrade", self.name, str(CHART), "-f", str(self._values_file()), *options, **kwargs)

    def uninstall(self) -> None:
        """Run `helm uninstall`."""
        self.run_helm("uninstall", self.name, "--wait")

    def run_helm(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a helm command in the release's namespace."""
        return self._command(self.helm, arguments, check)

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        """Run a kubectl command in the release's namespace and return its output."""
        done = self._command(kubernetes_tools.kubectl(), arguments, check, stdin)
        return done.stdout if check else done.stdout + done.stderr

    def jobs(self, **labels: str) -> list[dict[str, Any]]:
        """The release's Jobs with additional labels."""
        return self.cluster.list("jobs", self.namespace, labels={"app.kubernetes.io/instance": self.name, **labels})

    def stage_jobs(self, stage: str) -> list[dict[str, Any]]:
        """The Jobs of a stage."""
        return self.jobs(**{"skutune.io/stage": stage})

    def pods(self, component: str, phase: str = "Running") -> list[str]:
        """The names of the release's pods in a phase."""
        labels = {"app.kubernetes.io/instance": self.name, "app.kubernetes.io/component": component}
        found = self.cluster.list("pods", self.namespace, labels=labels)
        return [pod["metadata"]["name"] for pod in found if pod["status"].get("phase") == phase]

    def controller_jobs(self) -> list[dict[str, Any]]:
        """The controller's Jobs."""
        return self.jobs(**{"app.kubernetes.io/component": "controller"})

    def wait_until_ended(self, seconds: float = 180) -> tuple[int, str]:
        """Wait for the latest controller Job. Returns its exit code and termination message."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            job = max(self.controller_jobs(), key=lambda job: job["metadata"]["creationTimestamp"], default=None)
            if job is not None and _has_ended(job):
                return self._last_exit(job)
            time.sleep(0.1)
        raise AssertionError(f"the run did not end in {seconds} s:\n{self.status_text()}\n{self.controller_log()}")

    def wait_for(self, prefix: str, seconds: float = 90) -> None:
        """Wait until the run's folder has an object whose key starts with a prefix."""
        store, until = open_store(self.store), time.monotonic() + seconds
        while not any(True for _ in store.list(f"{self.run}/{prefix}")):
            assert time.monotonic() < until, f"no {prefix}:\n{self.status_text()}\n{self.controller_log()}"
            time.sleep(0.05)

    def status(self) -> dict[str, Any]:
        """status.json of the run."""
        return dict(json.loads(open_store(self.store).get(f"{self.run}/status.json")))

    def status_text(self) -> str:
        """The table in the status ConfigMap."""
        found = self.cluster.get("configmaps", f"{self.name}-skutune-status", self.namespace)
        return str((found or {}).get("data", {}).get("summary", "no status"))

    def controller_log(self) -> str:
        """The end of the log of each of the controller's pods."""
        labels = {"app.kubernetes.io/instance": self.name, "app.kubernetes.io/component": "controller"}
        pods = self.cluster.list("pods", self.namespace, labels=labels)
        return "\n---\n".join(self.cluster.logs(pod["metadata"]["name"], self.namespace)[-3000:] for pod in pods)

    def _last_exit(self, job: dict[str, Any]) -> tuple[int, str]:
        """The exit code and termination message of a Job's last pod, or the Job's condition if the pod was deleted."""
        labels = {"batch.kubernetes.io/job-name": job["metadata"]["name"]}
        pods = self.cluster.list("pods", self.namespace, labels=labels)
        ended = [pod for pod in pods if pod["status"].get("containerStatuses")]
        if not ended:
            conditions = {each["type"]: each for each in job["status"]["conditions"] if each["status"] == "True"}
            return (0, "") if "Complete" in conditions else (1, conditions["Failed"].get("message", ""))
        last = max(ended, key=lambda pod: pod["metadata"]["creationTimestamp"])
        state = last["status"]["containerStatuses"][0]["state"]["terminated"]
        return state["exitCode"], state.get("message", "")

    def _values_file(self) -> Path:
        path = self.folder / "values.yaml"
        path.write_text(yaml.safe_dump(self.values, sort_keys=False))
        return path

    def _default_values(self) -> dict[str, Any]:
        return {
            "config": yaml.safe_load(self.pipeline.config.read_text()),
            "until": "compose",
            "images": {"registry": REGISTRY},
            "store": {"endpoint": self.server.endpoint, "existingSecret": SECRET},
            "defaults": {"shards": 2},
            "gpu": {"check": False},
            # All pods share this machine's network, where two controllers cannot use the same port.
            "extraEnv": [
                {"name": "SKUTUNE_INTERVAL_FACTOR", "value": str(PACE)},
                {"name": "SKUTUNE_METRICS_PORT", "value": "0"},
            ],
            "controller": {"retrySeconds": 0, "graceSeconds": 3},
        }

    def _command(
        self, program: Path, arguments: tuple[str, ...], check: bool, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "KUBECONFIG": str(self.cluster.kubeconfig), "HELM_CACHE_HOME": str(self.folder)}
        command = [str(program), "--namespace", self.namespace, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, input=stdin, timeout=300)
        assert not check or done.returncode == 0, f"{' '.join(arguments)}:\n{done.stdout}{done.stderr}"
        return done


def _has_ended(job: dict[str, Any]) -> bool:
    conditions = job["status"].get("conditions") or []
    return any(each["type"] in {"Complete", "Failed"} and each["status"] == "True" for each in conditions)


def merge_values(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge_values(merged[key], value) if both else value
    return merged
