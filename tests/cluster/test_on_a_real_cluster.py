"""The chart on a real cluster: run, interrupt, upgrade, uninstall.

The tests are skipped unless these variables are set:

    KUBECONFIG                 a cluster (1.31 or later) with permission to create namespaces
    SKUTUNE_TEST_REGISTRY      the registry of skutune-controller, -generate and -train, tagged 0.1.0
    SKUTUNE_TEST_STORE         s3://bucket/prefix, with AWS_ENDPOINT_URL_S3, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY;
                               the endpoint must be reachable from pods and from this machine
    SKUTUNE_TEST_DEVICES       total number of devices (nvidia.com/gpu); default 0
"""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import kubernetes_tools
import pytest
from servers import S3Server

sys.path.insert(0, str(Path(__file__).parents[1] / "releases"))
from kubectl_cluster import KubectlCluster
from release import SECRET, Release, merge_values
from scripted_run import Pipeline

from skutune.samples import write_sample

NEEDED = ("KUBECONFIG", "SKUTUNE_TEST_REGISTRY", "SKUTUNE_TEST_STORE", "AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID")
pytestmark = pytest.mark.skipif(
    any(name not in os.environ for name in NEEDED), reason=f"needs a real cluster: set {', '.join(NEEDED)}"
)
KINDS = "jobs,cronjobs,pods,podtemplates,configmaps,services,serviceaccounts,roles,rolebindings,networkpolicies,secrets"
PRODUCTS = 12


@pytest.fixture
def namespace() -> Iterator[str]:
    name, cluster = f"skutune-test-{uuid.uuid4().hex[:8]}", KubectlCluster()
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def make_release(namespace: str, tmp_path: Path) -> Callable[..., Release]:
    bucket, _, prefix = os.environ["SKUTUNE_TEST_STORE"].removeprefix("s3://").partition("/")
    environment = os.environ
    server = S3Server(
        environment["AWS_ENDPOINT_URL_S3"],
        environment["AWS_ACCESS_KEY_ID"],
        environment["AWS_SECRET_ACCESS_KEY"],
        bucket,
    )

    def make(name: str = "fall", **settings: object) -> Release:
        folder = tmp_path / f"{namespace}-{name}"
        folder.mkdir(exist_ok=True)
        devices = int(environment.get("SKUTUNE_TEST_DEVICES", "0"))
        defaults = {
            "images": {"registry": environment["SKUTUNE_TEST_REGISTRY"]},
            # Devices may be simulated, so the device check is disabled.
            "gpu": {"devices": devices, "check": False, "nodeSelector": {"nvidia.com/gpu.present": None}},
            "extraEnv": [],
            "defaults": {"resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "2Gi"}}},
            "stages": {"finetune": {"devices": min(8, devices)}},
        }
        values = merge_values(defaults, settings.pop("values", {}))  # type: ignore[arg-type]
        made = Release(
            KubectlCluster(),  # type: ignore[arg-type]
            server,
            folder,
            name,
            values=values,
            namespace=namespace,
            prefix=f"{prefix}/" if prefix else "",
            **settings,  # type: ignore[arg-type]
        )
        made.values["extraEnv"] = [{"name": "SKUTUNE_INTERVAL_FACTOR", "value": "0.2"}]
        return made

    return make


@pytest.fixture(scope="session")
def local_output(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The output of the same config without a cluster."""
    folder = tmp_path_factory.mktemp("laptop")
    pipeline = Pipeline(folder, str(folder / "store"))
    write_sample(folder / "grocery.csv", PRODUCTS)
    pipeline.write(models__generator__malformed_rate=0.15)
    code, message = pipeline.run()
    assert code == 0, message
    return pipeline.tables()


def _objects(release: Release) -> set[str]:
    listed = release.kubectl("get", KINDS, "-o", "name").split()
    return {name for name in listed if "kube-root-ca" not in name and SECRET not in name and "/default" not in name}


@pytest.mark.parametrize("helm", ["helm3", "helm4"])
def test_a_release_completes_and_leaves_only_the_store(
    helm: str, make_release: Callable[..., Release], local_output: dict[str, list[str]]
) -> None:
    release = make_release(helm=getattr(kubernetes_tools, helm)())
    before = _objects(release)
    release.install()
    code, message = release.wait_until_ended(900)
    assert code == 0, f"{message}\n{release.status_text()}\n{release.controller_log()}"
    assert release.pipeline.tables() == local_output
    print(release.status_text())
    release.run_helm("test", release.name)
    release.uninstall()
    assert release.cluster.wait(lambda: _objects(release) == before, 120), _objects(release) - before


def test_a_kill_an_eviction_and_an_upgrade_do_not_change_the_output(
    make_release: Callable[..., Release], local_output: dict[str, list[str]]
) -> None:
    release = make_release()
    release.install()
    release.wait_for("describe/", 300)
    for pod in release.pods("controller"):
        release.cluster.delete("pod", pod, release.namespace, "--grace-period=0", "--force")
    release.wait_for("question/", 300)
    for pod in release.pods("stage")[:1]:
        release.cluster.evict(pod, release.namespace)
    release.wait_for("recommend/", 300)
    first = {job["metadata"]["uid"] for job in release.controller_jobs()}
    release.values["rerun"] = 1
    release.upgrade()
    code, message = release.wait_until_ended(900)
    assert code == 0, f"{message}\n{release.status_text()}\n{release.controller_log()}"
    assert release.pipeline.tables() == local_output
    assert not first & {job["metadata"]["uid"] for job in release.controller_jobs()}
    release.uninstall()


def test_a_suspended_schedule_can_be_started_manually(make_release: Callable[..., Release]) -> None:
    release = make_release(values={"until": "ingest", "schedule": {"cron": "0 3 * * *", "suspend": True}})
    release.install()
    release.kubectl("create", "job", "--from=cronjob/fall-skutune", "nightly-1")
    code, message = release.wait_until_ended(300)
    assert code == 0, f"{message}\n{release.controller_log()}"
    release.uninstall()


def test_a_failed_image_pull_is_reported(make_release: Callable[..., Release]) -> None:
    release = make_release(values={"until": "describe", "images": {"generate": {"repository": "skutune-typo"}}})
    release.values["controller"] = {"graceSeconds": 15}
    release.install()
    code, message = release.wait_until_ended(300)
    assert code == 10
    assert "skutune-typo" in message
    release.uninstall()
