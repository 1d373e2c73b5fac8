"""Real helm 3, helm 4 and kubectl work against the double as against a cluster."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from kubernetes_tools import helm3, helm4, kubectl
from workloads import end_of, job, pod, pods_of, wait_for_phase

from tests.fakekube import Cluster

Run = Callable[..., str]

CHART = {
    "Chart.yaml": "{apiVersion: v2, name: small, version: 0.1.0}",
    "values.yaml": "{text: one, fails: false}",
    "templates/settings.yaml": """
apiVersion: v1
kind: ConfigMap
metadata: {name: "{{ .Release.Name }}-settings"}
data: {text: "{{ .Values.text }}"}
""",
    "templates/template.yaml": """
apiVersion: v1
kind: PodTemplate
metadata: {name: "{{ .Release.Name }}-describe"}
template:
  metadata: {labels: {stage: describe}}
  spec:
    restartPolicy: Never
    containers: [{name: worker, image: "registry.example/worker:1", resources: {limits: {nvidia.com/gpu: 1}}}]
""",
    "templates/job.yaml": """
apiVersion: batch/v1
kind: Job
metadata: {name: "{{ .Release.Name }}-{{ sha256sum .Values.text | trunc 8 }}"}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers: [{name: main, image: x, command: [sh, -c, "echo {{ .Values.text }}"]}]
""",
    "templates/test.yaml": """
apiVersion: v1
kind: Pod
metadata: {name: "{{ .Release.Name }}-test", annotations: {helm.sh/hook: test}}
spec:
  restartPolicy: Never
  containers: [{name: main, image: x, command: [sh, -c, "exit {{ if .Values.fails }}1{{ else }}0{{ end }}"]}]
""",
}


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    for name, text in CHART.items():
        path = tmp_path / "small" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "small"


@pytest.fixture
def environment(cluster: Cluster, tmp_path: Path) -> dict[str, str]:
    homes = {f"HELM_{name}_HOME": str(tmp_path / name) for name in ("CACHE", "CONFIG", "DATA")}
    return {**os.environ, **homes, "KUBECONFIG": str(cluster.kubeconfig), "HOME": str(tmp_path)}


@pytest.fixture
def kube(environment: dict[str, str]) -> Run:
    return runner(kubectl(), environment)


@pytest.fixture(params=[helm3, helm4], ids=["helm3", "helm4"])
def helm(request: pytest.FixtureRequest, environment: dict[str, str]) -> Run:
    return runner(request.param(), environment)


def runner(program: Path, environment: dict[str, str]) -> Run:
    """Runs a program: its output; `fails=True` expects failure."""

    def run(*arguments: str, stdin: str | None = None, fails: bool = False) -> str:
        command = [str(program), *arguments]
        done = subprocess.run(command, env=environment, input=stdin, capture_output=True, text=True, timeout=60)
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


class TestHelm:
    def test_a_release_is_installed_upgraded_rolled_back_and_uninstalled(
        self, cluster: Cluster, helm: Run, chart: Path
    ) -> None:
        helm("install", "fall", str(chart), "--wait", "--wait-for-jobs", "--timeout", "20s")
        first = cluster.list("jobs")[0]["metadata"]["name"]
        assert end_of(cluster, first) == "Complete"
        assert cluster.get("podtemplates", "fall-describe")["template"]["metadata"]["labels"] == {"stage": "describe"}
        helm("upgrade", "fall", str(chart), "--set", "text=two")
        assert cluster.get("configmaps", "fall-settings")["data"] == {"text": "two"}
        cluster.wait(lambda: not cluster.exists("jobs", first))  # another name: another Job
        helm("rollback", "fall", "1")
        assert cluster.get("configmaps", "fall-settings")["data"] == {"text": "one"}
        assert [entry["status"] for entry in json.loads(helm("history", "fall", "-o", "json"))] == [
            "superseded",
            "superseded",
            "deployed",
        ]
        helm("uninstall", "fall", "--wait", "--timeout", "20s")
        left = [*cluster.list("jobs"), *cluster.list("pods"), *cluster.list("podtemplates"), *cluster.list("secrets")]
        assert left == []

    def test_an_upgrade_without_changes_changes_nothing(self, cluster: Cluster, helm: Run, chart: Path) -> None:
        helm("install", "fall", str(chart))
        end_of(cluster, cluster.list("jobs")[0]["metadata"]["name"])
        before = {one["metadata"]["uid"] for kind in ("jobs", "pods", "podtemplates") for one in cluster.list(kind)}
        helm("upgrade", "fall", str(chart))
        assert {
            one["metadata"]["uid"] for kind in ("jobs", "pods", "podtemplates") for one in cluster.list(kind)
        } == before

    def test_a_test_hook_passes_or_fails(self, helm: Run, chart: Path) -> None:
        helm("install", "fall", str(chart))
        helm("test", "fall", "--timeout", "20s")
        helm("upgrade", "fall", str(chart), "--set", "fails=true")
        helm("test", "fall", "--timeout", "20s", fails=True)

    def test_what_the_server_refuses_fails_the_install(self, cluster: Cluster, helm: Run, chart: Path) -> None:
        path = chart / "templates" / "template.yaml"
        path.write_text(path.read_text().replace("name: worker, ", ""))
        told = helm("install", "fall", str(chart), fails=True)
        assert "template.spec.containers[0].name: Required value" in told

    def test_a_dry_run_on_the_server_stores_nothing(self, cluster: Cluster, helm: Run, chart: Path) -> None:
        helm("install", "fall", str(chart), "--dry-run=server")
        assert cluster.list("jobs") == []


class TestKubectl:
    def test_a_job_is_started_from_a_cron_job(self, cluster: Cluster, kube: Run) -> None:
        template = {"spec": job("any", "echo manual")["spec"]}
        spec = {"schedule": "0 3 * * *", "suspend": True, "jobTemplate": template}
        cron = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "nightly"}, "spec": spec}
        kube("apply", "-f", "-", stdin=json.dumps(cron))
        kube("create", "job", "--from=cronjob/nightly", "today")
        kube("wait", "--for=condition=complete", "job/today", "--timeout=20s")
        assert kube("logs", "job/today") == "manual\n"
        made = cluster.get("jobs", "today")
        assert made["metadata"]["annotations"] == {"cronjob.kubernetes.io/instantiate": "manual"}
        assert made["spec"]["template"]["spec"]["containers"][0]["command"] == ["sh", "-c", "echo manual"]

    def test_apply_changes_only_what_changed(self, cluster: Cluster, kube: Run) -> None:
        manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1", "b": "2"}}
        assert kube("apply", "-f", "-", stdin=json.dumps(manifest)) == "configmap/c created\n"
        assert kube("apply", "-f", "-", stdin=json.dumps(manifest)) == "configmap/c unchanged\n"
        del manifest["data"]["b"]  # type: ignore[attr-defined]
        assert kube("apply", "-f", "-", stdin=json.dumps(manifest)) == "configmap/c configured\n"
        assert cluster.get("configmaps", "c")["data"] == {"a": "1"}
        assert kube(
            "apply",
            "--server-side",
            "--field-manager=other",
            "--force-conflicts",
            "-f",
            "-",
            stdin=json.dumps(manifest),
        )

    def test_get_prints_jobs_as_a_table(self, cluster: Cluster, kube: Run) -> None:
        manifest = job("describe", completionMode="Indexed", completions=2, parallelism=2)
        manifest["metadata"]["labels"] = {"skutune.io/stage": "describe"}
        cluster.create(manifest)
        end_of(cluster, "describe")
        header, row = kube("get", "jobs", "-l", "skutune.io/stage", "-L", "skutune.io/stage").splitlines()
        assert header.split() == ["NAME", "STATUS", "COMPLETIONS", "DURATION", "AGE", "STAGE"]
        assert row.split()[:3] == ["describe", "Complete", "2/2"]
        assert row.split()[-1] == "describe"

    def test_get_prints_pods_nodes_and_the_rest_as_tables(self, cluster: Cluster, kube: Run) -> None:
        cluster.create(job("failing", "exit 3", backoffLimit=0))
        end_of(cluster, "failing")
        header, row = kube("get", "pods", "-o", "wide").splitlines()
        assert header.split()[:5] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
        assert row.split()[1:4] == ["0/1", "Error", "0"]
        assert row.split()[6] == "node-1"
        assert "node-1   Ready" in kube("get", "nodes")
        assert "kube-root-ca.crt   1" in kube("get", "configmaps")
        assert "BackoffLimitExceeded" in kube("get", "events", "--field-selector", "involvedObject.name=failing")
        assert "job.batch/failing" in kube("get", "all")

    def test_get_sorts_and_prints_as_yaml(self, cluster: Cluster, kube: Run) -> None:
        for name in ("b", "a"):
            cluster.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
        listed = kube("get", "cm", "--sort-by=.metadata.name", "-o", "name").splitlines()
        assert listed == ["configmap/a", "configmap/b", "configmap/kube-root-ca.crt"]
        assert yaml.safe_load(kube("get", "cm", "a", "-o", "yaml"))["metadata"]["name"] == "a"

    def test_get_watches(self, cluster: Cluster, kube: Run) -> None:
        cluster.create(job("described", "sleep 0.3"))
        lines = kube("get", "jobs", "-w", "--request-timeout=2s").splitlines()
        assert lines[0].split()[:2] == ["NAME", "STATUS"]
        assert [line.split()[1] for line in lines[1:]][-1] == "Complete"
        assert sum(line.startswith("NAME") for line in lines) == 1

    def test_describe_tells_the_events(self, cluster: Cluster, kube: Run) -> None:
        cluster.create(job("told"))
        end_of(cluster, "told")
        shown = kube("describe", "job", "told")
        assert f"Created pod: {pods_of(cluster, 'told')[0]['metadata']['name']}" in shown
        assert "Job completed" in shown

    def test_logs_follow_a_running_pod(self, cluster: Cluster, kube: Run) -> None:
        cluster.create(job("talker", "for i in 1 2 3; do echo $i; sleep 0.2; done"))
        cluster.wait(lambda: [pod for pod in pods_of(cluster, "talker") if pod["status"]["phase"] == "Running"])
        assert kube("logs", "-f", "job/talker") == "1\n2\n3\n"
        assert kube("logs", "job/talker", "--tail=1") == "3\n"

    def test_a_kubeconfig_of_an_account_has_that_accounts_rights(
        self, cluster: Cluster, environment: dict[str, str]
    ) -> None:
        cluster.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "ci"}})
        kube = runner(kubectl(), environment | {"KUBECONFIG": str(cluster.kubeconfig_for("ci"))})
        told = 'User "system:serviceaccount:default:ci" cannot list resource "jobs" in API group "batch"'
        assert told in kube("get", "jobs", fails=True)
        assert kube("auth", "can-i", "create", "jobs", fails=True).startswith("no")

    def test_a_node_is_drained(self, cluster: Cluster, kube: Run) -> None:
        cluster.create(pod("worker", "sleep 60"))
        wait_for_phase(cluster, "worker", "Running")
        kube("drain", "node-1", "--force", "--timeout=20s")
        assert not cluster.exists("pods", "worker")
        cluster.create(pod("next"))
        cluster.wait(lambda: "1 node(s) were unschedulable" in str(cluster.get("pods", "next")["status"]))
        kube("uncordon", "node-1")
        wait_for_phase(cluster, "next", "Succeeded")

    def test_an_unknown_field_is_refused(self, kube: Run) -> None:
        manifest = job("typo")
        manifest["spec"]["bakoffLimit"] = 1
        assert 'unknown field "spec.bakoffLimit"' in kube("apply", "-f", "-", stdin=json.dumps(manifest), fails=True)


def test_it_runs_alone_until_it_is_told_to_stop(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    command = [sys.executable, "-m", "tests.fakekube", "--kubeconfig", str(kubeconfig)]
    root = Path(__file__).parents[3]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as alone:
        assert alone.stdout is not None
        assert alone.stdout.readline().startswith("http://127.0.0.1:")
        told = runner(kubectl(), {**os.environ, "KUBECONFIG": str(kubeconfig)})("get", "nodes", "-o", "name")
        alone.send_signal(signal.SIGTERM)
        assert alone.wait(timeout=20) == 0
    assert told == "node/node-1\n"
