"""The trial's S3 server, run locally with the container command of k8s/s3.yaml."""

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
    """The pod spec of the Deployment."""
    (deployment,) = [item for item in objects("s3.yaml") if item["kind"] == "Deployment"]
    spec: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return spec


@contextmanager
def serve(keys: Mapping[str, str]) -> Iterator[str]:
    """Run the server with the Secret's keys and yield its endpoint. Only ports and data folder differ from the file."""
    (container,) = server_pod()["containers"]
    port = free_port()
    folder = Path(tempfile.mkdtemp(prefix="trial-s3-"))
    (folder / "data").mkdir()
    own = {"-dir": str(folder / "data"), "-ip.bind": "127.0.0.1", "-s3.port": str(port)}
    kept = [argument for argument in container["args"] if argument.partition("=")[0] not in own]
    # Its internal ports may be taken on this machine. A gRPC port defaults to port + 10000.
    for part in ("master", "volume", "filer", "s3"):
        own |= {f"-{part}.port.grpc": str(free_port())} | ({f"-{part}.port": str(free_port())} if part != "s3" else {})
    own["-debug.port"] = str(free_port())
    # As envFrom does. `env` keeps the variables out of this process.
    variables = [f"{name}={value}" for name, value in {**keys, "HOME": str(folder)}.items()]
    program = binary(container["command"][0])
    command = ["env", *variables, program, *kept, *(f"{name}={value}" for name, value in own.items())]
    try:
        with running_server(command, port, folder) as endpoint:
            yield endpoint
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        # The server leaves its sockets, named by port, in a fixed folder.
        for path in Path("/tmp").glob("seaweedfs-*.sock"):
            if path.stem.rpartition("-")[2] in own.values():
                path.unlink()
