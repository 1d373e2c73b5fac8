"""The chart on a real cluster: run, interrupt, upgrade, uninstall.

Runs where these are set, and is skipped elsewhere:

    KUBECONFIG                 a cluster of 1.31 or later on which namespaces may be made
    SKUTUNE_TEST_REGISTRY      where its nodes find skutune-controller, -generate and -train, tagged 0.1.0
    SKUTUNE_TEST_STORE         s3://bucket/prefix, by AWS_ENDPOINT_URL_S3, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY,
                               reached under that address from pods and from here
    SKUTUNE_TEST_DEVICES       devices (nvidia.com/gpu) that its nodes have together; default 0
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
from release import SECRET, Release, _merged
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
def release(namespace: str, tmp_path: Path) -> Callable[..., Release]:
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
        given = {
            "images": {"registry": environment["SKUTUNE_TEST_REGISTRY"]},
            # Devices may be pretended, so no program looks for them.
            "gpu": {"devices": devices, "check": False, "nodeSelector": {"nvidia.com/gpu.present": None}},
            "extraEnv": [],
            "defaults": {"resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "2Gi"}}},
            "stages": {"finetune": {"devices": min(8, devices)}},
        }
        values = _merged(given, settings.pop("values", {}))  # type: ignore[arg-type]
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
        made.values["extraEnv"] = [{"name": "SKUTUNE_PACE", "value": "0.2"}]
        return made

    return make


@pytest.fixture(scope="session")
def on_this_machine(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What the same config makes without a cluster."""
    folder = tmp_path_factory.mktemp("laptop")
    pipeline = Pipeline(folder, str(folder / "store"))
    write_sample(folder / "grocery.csv", PRODUCTS)
    pipeline.write(models__generator__malformed_rate=0.15)
    code, words = pipeline.run()
    assert code == 0, words
    return pipeline.tables()


def _objects(release: Release) -> set[str]:
    listed = release.kubectl("get", KINDS, "-o", "name").split()
    return {name for name in listed if "kube-root-ca" not in name and SECRET not in name and "/default" not in name}


@pytest.mark.parametrize("helm", ["helm3", "helm4"])
def test_a_release_completes_and_leaves_only_the_store(
    helm: str, release: Callable[..., Release], on_this_machine: dict[str, list[str]]
) -> None:
    mine = release(helm=getattr(kubernetes_tools, helm)())
    before = _objects(mine)
    mine.install()
    code, words = mine.ended(900)
    assert code == 0, f"{words}\n{mine.status_text()}\n{mine.controller_log()}"
    assert mine.pipeline.tables() == on_this_machine
    print(mine.status_text())
    mine.run_helm("test", mine.name)
    mine.uninstall()
    assert mine.cluster.wait(lambda: _objects(mine) == before, 120), _objects(mine) - before


def test_a_kill_an_eviction_and_an_upgrade_do_not_change_the_output(
    release: Callable[..., Release], on_this_machine: dict[str, list[str]]
) -> None:
    mine = release()
    mine.install()
    mine.wait_for("describe/", 300)
    for pod in mine.pods("controller"):
        mine.cluster.delete("pod", pod, mine.namespace, "--grace-period=0", "--force")
    mine.wait_for("question/", 300)
    for pod in mine.pods("stage")[:1]:
        mine.cluster.evict(pod, mine.namespace)
    mine.wait_for("recommend/", 300)
    first = {job["metadata"]["uid"] for job in mine.controller_jobs()}
    mine.values["rerun"] = 1
    mine.upgrade()
    code, words = mine.ended(900)
    assert code == 0, f"{words}\n{mine.status_text()}\n{mine.controller_log()}"
    assert mine.pipeline.tables() == on_this_machine
    assert not first & {job["metadata"]["uid"] for job in mine.controller_jobs()}
    mine.uninstall()


def test_a_suspended_schedule_can_be_started_manually(release: Callable[..., Release]) -> None:
    mine = release(values={"until": "ingest", "schedule": {"cron": "0 3 * * *", "suspend": True}})
    mine.install()
    mine.kubectl("create", "job", "--from=cronjob/fall-skutune", "nightly-1")
    code, words = mine.ended(300)
    assert code == 0, f"{words}\n{mine.controller_log()}"
    mine.uninstall()


def test_a_failed_image_pull_is_reported(release: Callable[..., Release]) -> None:
    mine = release(values={"until": "describe", "images": {"generate": {"repository": "skutune-typo"}}})
    mine.values["controller"] = {"graceSeconds": 15}
    mine.install()
    code, words = mine.ended(300)
    assert code == 10
    assert "skutune-typo" in words
    mine.uninstall()
