"""k8s/ci/wait-for-run.sh against an API server: it exits with the run's exit code and prints the reason."""

from __future__ import annotations

import subprocess
import time

import pytest
from installed import CRON_JOB, NAMESPACE, REASON, STATUS, WAIT, Installed, until


def test_a_successful_run_exits_with_0(installed: Installed) -> None:
    installed.ends("0")
    installed.start("good")
    done = installed.wait("good")
    assert done.returncode == 0, done.stderr
    assert "good is done" in done.stderr


@pytest.mark.parametrize("code", [10, 20, 75])
def test_a_failed_run_exits_with_its_exit_code_and_termination_message(installed: Installed, code: int) -> None:
    installed.ends(str(code))
    installed.start(f"bad-{code}")
    done = installed.wait(f"bad-{code}")
    assert done.returncode == code
    assert f"failed with exit code {code}: PodFailurePolicy" in done.stderr
    assert REASON in done.stderr


def test_a_replaced_controller_that_succeeds_is_no_failure(installed: Installed) -> None:
    installed.ends("heal")
    installed.start("healed")
    assert installed.wait("healed").returncode == 0
    assert len(installed.pods("healed")) == 2


def test_a_controller_that_exceeds_its_backoff_limit_is_a_failure(installed: Installed) -> None:
    installed.ends("1")
    installed.start("dying")
    done = installed.wait("dying")
    assert done.returncode == 1
    assert "BackoffLimitExceeded" in done.stderr


def test_a_timeout_exits_with_124_and_leaves_the_run_alone(installed: Installed) -> None:
    installed.ends("hang")
    installed.start("long")
    done = installed.wait("long", "-t", "1")
    assert done.returncode == 124
    assert "the run continues" in done.stderr
    assert installed.condition("long") == ""
    installed.cluster.delete("jobs", "long", NAMESPACE)


def test_a_controller_that_cannot_start_is_explained(installed: Installed) -> None:
    secret = installed.cluster.get("secrets", "trial-s3", NAMESPACE)
    installed.cluster.delete("secrets", "trial-s3", NAMESPACE)
    installed.ends("0")
    installed.start("unbegun")
    waiting = installed.waiting("unbegun")
    time.sleep(1.5)
    installed.cluster.create({key: secret[key] for key in ("apiVersion", "kind", "data")} | {
        "metadata": {"name": "trial-s3", "namespace": NAMESPACE}})  # fmt: skip
    _, stderr = waiting.communicate(timeout=30)
    assert waiting.returncode == 0, stderr
    assert stderr.count('CreateContainerConfigError secret "trial-s3" not found') == 1


def test_a_deleted_run_exits_with_143(installed: Installed) -> None:
    installed.ends("hang")
    installed.start("stopped")
    waiting = installed.waiting("stopped")
    time.sleep(1)
    installed.cluster.delete("jobs", "stopped", NAMESPACE)
    _, stderr = waiting.communicate(timeout=30)
    assert waiting.returncode == 143, stderr
    assert "was deleted" in stderr


def test_only_changes_of_the_runs_own_status_are_printed(installed: Installed) -> None:
    installed.write_status("run trial-yesterday: done (exit code 0)\n")
    installed.ends("hang")
    installed.start("today")
    waiting = installed.waiting("today")
    time.sleep(1.5)
    installed.write_status("run trial-today: running\ndescribe 40 %\n")
    time.sleep(1.5)
    installed.write_status("run trial-today: running\ndescribe 80 %\n")
    time.sleep(1.5)
    installed.cluster.delete("jobs", "today", NAMESPACE)
    printed, stderr = waiting.communicate(timeout=30)
    assert "yesterday" not in printed + stderr
    assert printed.count("describe 40 %") == printed.count("describe 80 %") == 1


def test_a_late_wait_prints_the_runs_status_at_once(installed: Installed) -> None:
    installed.ends("0")
    installed.start("late")
    until(lambda: installed.condition("late"))
    installed.write_status("run trial-late: done (exit code 0)\n")
    assert "run trial-late: done" in installed.wait("late").stdout


def test_the_exit_code_is_known_after_the_pod_is_deleted(installed: Installed) -> None:
    installed.ends("20")
    installed.start("gone")
    until(lambda: installed.condition("gone"))
    for pod in installed.pods("gone"):
        installed.cluster.delete("pods", pod, NAMESPACE)
    until(lambda: not installed.pods("gone"))
    installed.write_status("run trial-before: failed (exit code 75)\n")  # another run's status is ignored
    assert installed.wait("gone").returncode == 20  # from the Job's condition
    installed.write_status("run trial-gone: failed (exit code 76)\n\nthe device is faulty\n")
    assert installed.wait("gone").returncode == 76


def test_api_server_errors_are_retried(installed: Installed) -> None:
    installed.ends("10")
    installed.start("trouble")
    installed.cluster.faults.answer(503, verb="get", resource="jobs", times=12)
    done = installed.wait("trouble")
    assert done.returncode == 10
    assert "retrying:" in done.stderr


def test_an_api_server_outage_exits_with_124(installed: Installed) -> None:
    environment = {**installed.environment, "KUBECONFIG": "/dev/null"}
    command = [str(WAIT), "-n", NAMESPACE, "-o", "1", "any"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 124
    assert "API server unreachable for 1 s" in done.stderr


def test_a_missing_job_is_reported(installed: Installed) -> None:
    done = installed.wait("nowhere")
    assert done.returncode == 1
    assert "job nowhere not found" in done.stderr


def test_missing_permissions_are_reported_at_once(installed: Installed) -> None:
    stranger = installed.cluster.kubeconfig_for("default", NAMESPACE)
    environment = {**installed.environment, "KUBECONFIG": str(stranger)}
    done = subprocess.run([str(WAIT), "-n", NAMESPACE, "any"], env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "forbidden" in done.stderr


def test_the_status_config_map_can_be_named_and_may_be_missing(installed: Installed) -> None:
    installed.ends("0")
    installed.start("named")
    assert installed.wait("named", "-s", STATUS).returncode == 0
    done = installed.wait("named", "-s", "no-such-status")
    assert done.returncode == 0
    assert "ConfigMap no-such-status not found" in done.stderr


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["-t", "soon", "a"], ["-x", "a"]])
def test_invalid_arguments_print_the_usage(arguments: list[str]) -> None:
    done = subprocess.run([str(WAIT), *arguments], capture_output=True, text=True)
    assert done.returncode == 2
    assert "wait-for-run.sh [-n NAMESPACE]" in done.stderr


def test_the_job_name_may_have_kubectls_prefix(installed: Installed) -> None:
    installed.ends("0")
    installed.start("printed")
    assert installed.wait("job.batch/printed").returncode == 0


def test_the_cronjob_and_status_have_the_expected_names(installed: Installed) -> None:
    assert installed.cluster.get("cronjobs", CRON_JOB, NAMESPACE)["spec"]["suspend"] is True
    assert installed.cluster.exists("configmaps", STATUS, NAMESPACE)
