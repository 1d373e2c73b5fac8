"""The files in k8s/: valid objects, a restricted namespace, a working store, and minimal permissions."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
import yaml
from botocore.exceptions import ClientError
from installed import CRON_JOB, NAMESPACE, Installed
from kubernetes_schemas import NEWEST, OLDEST, violations
from kubernetes_tools import kubectl
from trial_s3 import ROOT, objects, serve, server_pod

from tests.fakekube import ApiError, Cluster, Node

FILES = ("namespace.yaml", "s3.yaml", "ci-access.yaml")
KEYS = {"AWS_ACCESS_KEY_ID": "skutune", "AWS_SECRET_ACCESS_KEY": "trial-key"}


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("file", FILES)
def test_the_objects_are_valid_for_the_oldest_and_newest_kubernetes(file: str, version: str) -> None:
    assert objects(file)
    assert [each for item in objects(file) for each in violations(item, version)] == []


def test_every_yaml_file_is_tested() -> None:
    assert {path.name for path in (ROOT / "k8s").glob("*.yaml")} == {*FILES, "kind.yaml"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster to which kubectl has applied the files."""
    with Cluster(nodes=[Node("skutune-worker", labels=kind_worker()["labels"])]) as running:
        apply(running, *FILES)
        yield running


def apply(cluster: Cluster, *files: str) -> None:
    given = [word for file in files for word in ("-f", str(ROOT / "k8s" / file))]
    command = [str(kubectl()), "--kubeconfig", str(cluster.kubeconfig), "apply", *given]
    subprocess.run(command, check=True, capture_output=True)


def kind_worker() -> dict[str, dict[str, str]]:
    (config,) = objects("kind.yaml")
    (worker,) = [node for node in config["nodes"] if node["role"] == "worker"]
    return worker  # type: ignore[no-any-return]


def test_the_files_can_be_applied_again(cluster: Cluster) -> None:
    apply(cluster, *FILES)


def pod(name: str, **spec: object) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}


def test_the_namespace_rejects_unrestricted_pods(cluster: Cluster) -> None:
    with pytest.raises(ApiError, match="restricted"):
        cluster.create(pod("root", containers=[{"name": "main", "image": "any"}]))


def test_the_trials_server_is_a_restricted_pod(cluster: Cluster) -> None:
    cluster.create(pod("as-in-the-deployment", **server_pod()))
    (container,) = server_pod()["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["image"].rpartition(":")[2] not in ("", "latest")


def test_the_namespaces_quota_is_eight_devices(cluster: Cluster) -> None:
    spec = server_pod()
    (container,) = spec["containers"]
    resources = {"limits": {"nvidia.com/gpu": 9}, "requests": {"nvidia.com/gpu": 9}}
    with pytest.raises(ApiError, match="exceeded quota"):
        cluster.create(pod("greedy", **{**spec, "containers": [{**container, "resources": resources}]}))


def test_the_trial_server_requires_its_keys() -> None:
    with serve(KEYS) as endpoint:

        def client(secret: str) -> object:
            return boto3.client(
                "s3", endpoint_url=endpoint, aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
                aws_secret_access_key=secret, region_name="us-east-1",
            )  # fmt: skip

        owner = client(KEYS["AWS_SECRET_ACCESS_KEY"])
        owner.put_object(Bucket="skutune", Key="a", Body=b"text")  # type: ignore[attr-defined]
        assert owner.get_object(Bucket="skutune", Key="a")["Body"].read() == b"text"  # type: ignore[attr-defined]
        with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
            client("guessed").list_objects_v2(Bucket="skutune")  # type: ignore[attr-defined]


def test_the_kind_example_uses_the_trial_server() -> None:
    values = yaml.safe_load((ROOT / "helm" / "skutune" / "examples" / "kind-cpu.yaml").read_text())
    (service,) = [item for item in objects("s3.yaml") if item["kind"] == "Service"]
    name, port = service["metadata"]["name"], service["spec"]["ports"][0]["port"]
    assert values["store"]["endpoint"] == f"http://{name}:{port}"
    (container,) = server_pod()["containers"]
    assert values["store"]["existingSecret"] == container["envFrom"][0]["secretRef"]["name"]
    assert f"-bucket={values['config']['store'].split('/')[2]}" in container["args"]


def set_devices(cluster: Cluster, *arguments: str) -> subprocess.CompletedProcess[str]:
    home = str(cluster.kubeconfig.parent)  # where kubectl keeps its cache; without one, in the current folder
    environment = {"PATH": f"{kubectl().parent}:/usr/bin:/bin", "KUBECONFIG": str(cluster.kubeconfig), "HOME": home}
    script = str(ROOT / "k8s" / "fake-gpus.sh")
    return subprocess.run([script, *arguments], env=environment, capture_output=True, text=True)


def test_a_node_reports_simulated_devices_to_the_scheduler(cluster: Cluster) -> None:
    """The chart's node selector matches the node of the kind config."""
    assert set_devices(cluster, "skutune-worker").returncode == 0
    node = cluster.get("nodes", "skutune-worker")
    assert node["status"]["allocatable"]["nvidia.com/gpu"] == node["status"]["capacity"]["nvidia.com/gpu"] == "8"
    values = yaml.safe_load((ROOT / "helm" / "skutune" / "values.yaml").read_text())
    assert values["gpu"]["nodeSelector"].items() <= node["metadata"]["labels"].items()
    assert set_devices(cluster, "skutune-worker", "0").returncode == 0
    assert cluster.get("nodes", "skutune-worker")["status"]["allocatable"]["nvidia.com/gpu"] == "0"


@pytest.mark.parametrize("arguments", [[], ["node", "many"], ["node", "8", "more"]])
def test_invalid_arguments_for_simulated_devices_are_rejected(cluster: Cluster, arguments: list[str]) -> None:
    done = set_devices(cluster, *arguments)
    assert done.returncode == 10
    assert "usage" in done.stderr


ALLOWED = (
    ["get", "cronjobs"], ["create", "jobs"], ["watch", "jobs"], ["list", "pods"], ["get", "pods/log"],
    ["get", "configmaps"],
)  # fmt: skip
FORBIDDEN = (
    ["get", "secrets"], ["list", "secrets"], ["delete", "jobs"], ["patch", "jobs"], ["create", "pods"],
    ["create", "pods/exec"], ["patch", "cronjobs"], ["create", "roles"], ["patch", "configmaps"], ["list", "nodes"],
)  # fmt: skip


@pytest.mark.parametrize("question", [*ALLOWED, *FORBIDDEN], ids=" ".join)
def test_the_ci_account_may_only_start_and_watch_runs(installed: Installed, question: list[str]) -> None:
    command = ["kubectl", "--namespace", NAMESPACE, "auth", "can-i", *question]
    done = subprocess.run(command, env=installed.environment, capture_output=True, text=True)
    assert done.stdout.strip() == ("yes" if question in ALLOWED else "no"), done.stderr


def test_the_ci_account_has_no_permissions_in_other_namespaces(installed: Installed) -> None:
    command = ["kubectl", "--namespace", "default", "auth", "can-i", "create", "jobs"]
    done = subprocess.run(command, env=installed.environment, capture_output=True, text=True)
    assert done.stdout.strip() == "no"


def test_the_ci_account_can_start_a_run(installed: Installed) -> None:
    installed.ends("0")
    installed.start("by-ci")
    assert installed.wait("by-ci").returncode == 0
    log = ["kubectl", "--namespace", NAMESPACE, "logs", "job/by-ci"]
    assert subprocess.run(log, env=installed.environment, capture_output=True).returncode == 0
    deleted = ["kubectl", "--namespace", NAMESPACE, "delete", "cronjob", CRON_JOB]
    done = subprocess.run(deleted, env=installed.environment, capture_output=True, text=True)
    assert "forbidden" in done.stderr


def test_scripts_say_how_they_are_called() -> None:
    for path in Path(ROOT / "k8s").rglob("*.sh"):
        assert path.read_text().startswith("#!/usr/bin/env bash\n# ")
