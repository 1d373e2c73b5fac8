"""The trial's S3 server, run on this machine by the command that k8s/s3.yaml gives its container."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from servers import binary, free_port, running_server

ROOT = Path(__file__).resolve().parents[2]


def objects(name: str) -> list[dict[str, Any]]:
    """The objects of a file in k8s/."""
    return [item for item in yaml.safe_load_all((ROOT / "k8s" / name).read_text()) if item]


def server_pod() -> dict[str, Any]:
    """The pod's spec in the Deployment."""
    (deployment,) = [item for item in objects("s3.yaml") if item["kind"] == "Deployment"]
    spec: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return spec


@contextmanager
def serve(keys: Mapping[str, str]) -> Iterator[str]:
    """Run it with the Secret's keys; yields the endpoint. Only ports and folder are not the file's."""
    (container,) = server_pod()["containers"]
    port = free_port()
    folder = Path(tempfile.mkdtemp(prefix="trial-s3-"))
    (folder / "data").mkdir()
    own = {"-dir": str(folder / "data"), "-ip.bind": "127.0.0.1", "-s3.port": str(port)}
    kept = [argument for argument in container["args"] if argument.partition("=")[0] not in own]
    # Its inner ports are free in a pod; here others may have them. A gRPC port is its port + 10000 unless it is named.
    for part in ("master", "volume", "filer", "s3"):
        own |= {f"-{part}.port.grpc": str(free_port())} | ({f"-{part}.port": str(free_port())} if part != "s3" else {})
    own["-debug.port"] = str(free_port())
    # As envFrom does; `env`, so that nothing of it gets into this process.
    variables = [f"{name}={value}" for name, value in {**keys, "HOME": str(folder)}.items()]
    program = binary(container["command"][0])
    command = ["env", *variables, program, *kept, *(f"{name}={value}" for name, value in own.items())]
    try:
        with running_server(command, port, folder) as endpoint:
            yield endpoint
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        # It names its sockets by their ports, in a folder that it cannot be told, and leaves them there.
        for path in Path("/tmp").glob("seaweedfs-*.sock"):
            if path.stem.rpartition("-")[2] in own.values():
                path.unlink()
