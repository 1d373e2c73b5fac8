"""Runs the steps of the GitHub Actions and GitLab CI files against the API server double and a real S3 server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from installed import CRON_JOB, NAMESPACE, REASON, RELEASE, Installed
from servers import S3Server
from workflows import GITHUB, GITLAB, Ci, Step, jobs_of, repository

from skutune.samples import grocery_csv
from skutune.store import open_store

BUCKET = "ml-catalogs"
BY_CRONJOB = {"github": ("catalog", "retrain"), "gitlab": ("check-catalog", "upload-catalog", "retrain")}
BY_HELM = {
    "github": ("catalog", "retrain-with-helm"),
    "gitlab": ("check-catalog", "upload-catalog", "retrain-with-helm"),
}
CIS = ("github", "gitlab")


@pytest.fixture
def ci(installed: Installed, seaweedfs: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ci]:
    """A factory of CI machines with a checkout that contains a catalog."""
    seaweedfs.set_environment(monkeypatch)
    _make_bucket(seaweedfs)

    def make(catalog: str = grocery_csv(), kubeconfig: Path | None = None) -> Ci:
        account = kubeconfig or installed.cluster.kubeconfig_for("skutune-ci", NAMESPACE)
        settings = {"KUBECONFIG": account.read_text(), **seaweedfs.environment}
        folder = repository(tmp_path / "repository", catalog)
        environment = installed.environment | seaweedfs.environment
        environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
        environment["KUBECONFIG"] = str(account)  # a variable of type File at GitLab; GitHub's step writes its own
        return Ci(folder, environment, settings | {"KUBECONFIG": account.read_text()})

    return make


def run(ci: Ci, kind: str, jobs: dict[str, tuple[str, ...]]) -> list[Step]:
    if kind == "github":
        return ci.github(*jobs[kind])
    file = ci.folder / "kubeconfig-file"
    file.write_text(ci.settings["KUBECONFIG"])
    return Ci(ci.folder, ci.environment, {**ci.settings, "KUBECONFIG": str(file)}).gitlab(*jobs[kind])


@pytest.fixture(autouse=True)
def _delete_jobs(installed: Installed) -> None:
    """Delete all Jobs: their names derive from the CI's run ID, which is the same in each test."""
    for job in installed.cluster.list("jobs", NAMESPACE):
        installed.cluster.delete("jobs", job["metadata"]["name"], NAMESPACE)


@pytest.mark.parametrize("kind", CIS)
def test_a_changed_catalog_is_checked_and_uploaded_and_starts_a_run(
    installed: Installed, ci: Callable[..., Ci], kind: str
) -> None:
    installed.ends("0")
    steps = run(ci(), kind, BY_CRONJOB)
    assert [step.code for step in steps] == [0] * len(steps), steps[-1].printed
    assert "is done" in steps[-1].printed
    assert open_store(f"s3://{BUCKET}").get("grocery.csv").decode() == grocery_csv()
    (job,) = installed.cluster.list("jobs", NAMESPACE)
    assert job["metadata"]["ownerReferences"][0]["name"] == CRON_JOB


@pytest.mark.parametrize("kind", CIS)
def test_a_failed_run_fails_the_ci_with_its_exit_code_and_reason(
    installed: Installed, ci: Callable[..., Ci], kind: str
) -> None:
    installed.ends("10")
    steps = run(ci(), kind, BY_CRONJOB)
    assert steps[-1].code == 10
    assert REASON in steps[-1].printed


@pytest.mark.parametrize("kind", CIS)
def test_an_invalid_catalog_starts_no_run(installed: Installed, ci: Callable[..., Ci], kind: str) -> None:
    lines = grocery_csv().splitlines(keepends=True)
    steps = run(ci(catalog="".join([*lines, lines[1]])), kind, BY_CRONJOB)
    assert len(steps) == 1
    assert steps[0].code == 10
    assert f"line {len(lines) + 1}" in steps[0].printed
    assert installed.cluster.list("jobs", NAMESPACE) == []


@pytest.mark.parametrize("kind", CIS)
def test_a_hanging_run_is_limited_by_the_cis_timeout(installed: Installed, ci: Callable[..., Ci], kind: str) -> None:
    """Both files set a timeout; this test checks that nothing ends the wait earlier."""
    installed.ends("hang")
    machine = ci()
    machine.limit_seconds = 5
    jobs = {"github": ("retrain",), "gitlab": ("retrain",)}
    if kind == "gitlab":
        machine.settings = {name: text for name, text in machine.settings.items() if name != "KUBECONFIG"}
    with pytest.raises(subprocess.TimeoutExpired):
        machine.github(*jobs[kind]) if kind == "github" else machine.gitlab(*jobs[kind])
    (job,) = installed.cluster.list("jobs", NAMESPACE)
    assert job["status"].get("active") == 1


@pytest.mark.parametrize("kind", CIS)
def test_a_helm_upgrade_starts_a_run_and_waits_for_it(installed: Installed, ci: Callable[..., Ci], kind: str) -> None:
    installed.ends("20")
    try:
        steps = run(ci(kubeconfig=installed.cluster.kubeconfig), kind, BY_HELM)
        assert steps[-1].code == 20, steps[-1].printed
        (job,) = installed.cluster.list("jobs", NAMESPACE)
        assert job["metadata"]["name"].startswith(f"{CRON_JOB}-")
    finally:
        installed.run("helm", "rollback", RELEASE, "1", "--namespace", NAMESPACE)


def test_upload_errors_name_the_problem(ci: Callable[..., Ci]) -> None:
    machine = ci()
    for arguments, expected in (
        (["catalog/none.csv", "s3://ml-catalogs/grocery.csv"], "no such file"),
        (["catalog/products.csv", "ml-catalogs/grocery.csv"], "not the URI of an object"),
        (["catalog/products.csv", "s3://ml-catalogs"], "not the URI of an object"),
        (["catalog/products.csv", "s3://no-such-bucket/grocery.csv"], "no-such-bucket"),
        (["catalog/products.csv"], "usage"),
    ):
        command = [sys.executable, "k8s/ci/upload-catalog.py", *arguments]
        done = subprocess.run(command, cwd=machine.folder, env=machine.environment, capture_output=True, text=True)
        assert done.returncode == 10, done.stderr
        assert expected in done.stderr


@pytest.mark.parametrize("file", [GITHUB, GITLAB], ids=CIS)
def test_only_one_run_is_active_at_a_time(file: Path) -> None:
    """Concurrent runs would compete for the devices."""
    if file == GITHUB:
        assert "concurrency:\n  group: retrain" in file.read_text()
    else:
        assert jobs_of(file)[".retrain"]["resource_group"] == "retrain"


def test_a_pull_request_only_checks_the_catalog() -> None:
    jobs = jobs_of(GITHUB)
    steps = {step["name"]: step for step in jobs["catalog"]["steps"] if "name" in step}
    conditions = [
        steps["Upload the catalog"]["if"],
        jobs["retrain"]["if"],
        jobs["retrain-with-helm"]["if"],
    ]
    assert all("github.event_name != 'pull_request'" in condition for condition in conditions)
    assert "if" not in steps["Check the catalog"]


def test_exactly_one_job_starts_a_run() -> None:
    jobs = jobs_of(GITHUB)
    assert "vars.SKUTUNE_START != 'helm'" in jobs["retrain"]["if"]
    assert "vars.SKUTUNE_START == 'helm'" in jobs["retrain-with-helm"]["if"]
    jobs = jobs_of(GITLAB)
    never = {"if": '$SKUTUNE_START == "helm"', "when": "never"}
    assert jobs["retrain"]["rules"][0] == never
    assert jobs["retrain-with-helm"]["rules"][0] == never | {"if": '$SKUTUNE_START != "helm"'}


def _make_bucket(server: S3Server) -> None:
    import boto3

    client = boto3.client(
        "s3", endpoint_url=server.endpoint, aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret_key, region_name="us-east-1",
    )  # fmt: skip
    if BUCKET not in [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]:
        client.create_bucket(Bucket=BUCKET)
