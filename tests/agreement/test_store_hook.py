"""The `helm test` hook checks the pods' access to the store; it runs against a real S3 server."""

import os
import subprocess
import sys

from chart_rendering import environment, render
from servers import S3Server


def run_hook(server: S3Server, secret_key: str) -> subprocess.CompletedProcess[str]:
    """Run the hook's command with its pod's environment."""
    changes = {
        "config": {"store": f"s3://{server.bucket}/hook"},
        "store": {"endpoint": server.environment["AWS_ENDPOINT_URL_S3"]},
    }
    container = render(changes=changes).one("Pod")["spec"]["containers"][0]
    secret = {"AWS_ACCESS_KEY_ID": server.access_key, "AWS_SECRET_ACCESS_KEY": secret_key}
    variables = {name: secret.get(name, value) for name, value in environment(container).items()}
    command = [sys.executable, *container["command"][1:]]
    inherited = {"PATH": os.environ["PATH"]}
    return subprocess.run(command, env=inherited | variables, capture_output=True, text=True, timeout=120)


def test_the_hook_succeeds_with_a_writable_store(seaweedfs: S3Server) -> None:
    process = run_hook(seaweedfs, seaweedfs.secret_key)
    assert process.returncode == 0, process.stderr
    assert "is readable and writable" in process.stdout


def test_the_hook_fails_with_a_wrong_key_and_names_the_bucket(seaweedfs: S3Server) -> None:
    process = run_hook(seaweedfs, "wrong")
    assert process.returncode != 0
    assert seaweedfs.bucket in process.stderr
