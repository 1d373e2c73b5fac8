"""Fixtures that run real S3 servers on localhost: SeaweedFS, and rclone over a folder."""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest

ACCESS_KEY, SECRET_KEY = "writer", "writer-secret"
READER_ACCESS_KEY, READER_SECRET_KEY = "reader", "reader-secret"
START_SECONDS = 60


@dataclass(frozen=True)
class S3Server:
    """A running server with an empty bucket, and the credentials of one identity."""

    endpoint: str
    access_key: str
    secret_key: str
    bucket: str

    @property
    def environment(self) -> dict[str, str]:
        """The environment for boto3, isolated from the configuration of this machine."""
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def set_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Point the S3 stores of a test to this server."""
        for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_CA_BUNDLE"):
            monkeypatch.delenv(name, raising=False)
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """SeaweedFS: master, volume server, filer and S3 gateway in one process."""
    folder = tmp_path_factory.mktemp("seaweedfs")
    with ExitStack() as stack:
        endpoint = stack.enter_context(serve_seaweedfs(folder))
        server = S3Server(endpoint, ACCESS_KEY, SECRET_KEY, "catalogs")
        create_bucket(server)
        yield server


@pytest.fixture(scope="session")
def seaweedfs_reader(seaweedfs: S3Server) -> S3Server:
    """The same bucket with read-only credentials."""
    return S3Server(seaweedfs.endpoint, READER_ACCESS_KEY, READER_SECRET_KEY, seaweedfs.bucket)


@pytest.fixture(scope="session")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """rclone's S3 server over a folder."""
    folder = tmp_path_factory.mktemp("rclone")
    port = free_port()
    (folder / "data").mkdir()
    command = [
        binary("rclone"), "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", f"{ACCESS_KEY},{SECRET_KEY}",
        "--config", os.devnull, "--cache-dir", str(folder / "cache"), str(folder / "data"),
    ]  # fmt: skip
    with running_server(command, port, folder) as endpoint:
        server = S3Server(endpoint, ACCESS_KEY, SECRET_KEY, "catalogs")
        create_bucket(server)
        yield server


@contextmanager
def serve_seaweedfs(folder: Path) -> Iterator[str]:
    """Run SeaweedFS with its data in a folder; yields the S3 endpoint URL."""
    identities = folder / "identities.json"
    identities.write_text(json.dumps({"identities": [
        {"name": "writer", "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
         "actions": ["Admin", "Read", "Write", "List", "Tagging"]},
        {"name": "reader", "credentials": [{"accessKey": READER_ACCESS_KEY, "secretKey": READER_SECRET_KEY}],
         "actions": ["Read", "List"]},
    ]}))  # fmt: skip
    (folder / "data").mkdir()
    port = free_port()
    # The default gRPC port is the HTTP port + 10000, which may be taken or out of range.
    ports = [f"-{part}.port{kind}={free_port()}" for part in ("master", "volume", "filer") for kind in ("", ".grpc")]
    command = [
        binary("weed"), "server", f"-dir={folder / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", *ports,
        f"-debug.port={free_port()}", "-master.volumeSizeLimitMB=64", "-master.telemetry=false", "-volume.max=40",
        "-volume.minFreeSpace=1", "-volume.preStopSeconds=0", "-s3", f"-s3.port={port}",
        f"-s3.port.grpc={free_port()}", "-s3.port.iceberg=0", "-s3.port.lance=0",
        "-s3.autoCreateBucket=false", f"-s3.config={identities}",
    ]  # fmt: skip
    used = {argument.rpartition("=")[2] for argument in command if ".port" in argument}
    try:
        with running_server(command, port, folder) as endpoint:
            yield endpoint
    finally:
        # SeaweedFS leaves its sockets, named by port, in a folder that is not configurable.
        for path in Path("/tmp").glob("seaweedfs-*.sock"):
            if path.stem.rpartition("-")[2] in used:
                path.unlink()


@contextmanager
def running_server(command: list[str], port: int, folder: Path) -> Iterator[str]:
    """Run a server for the duration of the block; yields its endpoint once it is ready. Logs to `folder/log`."""
    endpoint = f"http://127.0.0.1:{port}"
    log = folder / "log"
    with open(log, "wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=folder)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not is_ready(endpoint):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} did not start:\n{log.read_text(errors='replace')[-4000:]}")
            time.sleep(0.1)
        yield endpoint
    finally:
        # Killed, because a graceful shutdown takes seconds.
        process.kill()
        process.wait()


def is_ready(endpoint: str) -> bool:
    """Whether the endpoint responds to HTTP, with any status."""
    try:
        urlopen(endpoint, timeout=5).close()
    except HTTPError:
        return True
    except (URLError, OSError):
        return False
    return True


def create_bucket(server: S3Server) -> None:
    """Create the bucket, retrying until the server accepts writes."""
    import boto3

    client = boto3.session.Session().client(
        "s3", endpoint_url=server.endpoint, region_name="us-east-1",
        aws_access_key_id=server.access_key, aws_secret_access_key=server.secret_key,
    )  # fmt: skip
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            client.create_bucket(Bucket=server.bucket)
            client.put_object(Bucket=server.bucket, Key="ready", Body=b"ready")
            client.delete_object(Bucket=server.bucket, Key="ready")
            return
        except (client.exceptions.ClientError, client.exceptions.BucketAlreadyOwnedByYou):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def free_port() -> int:
    """A free TCP port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def non_ephemeral_port() -> int:
    """A free port below the ephemeral range, so that no outgoing connection takes it before a slow server binds it."""
    while True:
        port = random.randrange(20_000, 30_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port


def binary(name: str) -> str:
    """The path of a program installed in this environment or on PATH."""
    beside = Path(sys.executable).parent / name
    path = str(beside) if beside.exists() else shutil.which(name)
    if path is None:
        raise RuntimeError(f"{name} is not installed; install the test dependencies")
    return path
