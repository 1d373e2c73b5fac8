"""Container images by name: what they would bring is a PATH and an environment on this machine."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_SYSTEM = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True)
class Image:
    """`path` is where its commands lie (folders as in PATH; the system's own come after); `command` its entrypoint.

    `root` is the folder that a volume of this image shows. `own_ports` are variables that hold a free port, another
    one in each pod: pods share this machine's network, so two that listen on the same port would meet.
    """

    path: str | Path = ""
    env: Mapping[str, str] = field(default_factory=dict)
    command: Sequence[str] = ()
    root: str | Path = ""
    own_ports: Sequence[str] = ()

    def environment(self) -> dict[str, str]:
        """What a container of this image begins with."""
        path = ":".join(filter(None, [str(self.path), _SYSTEM]))
        return {"PATH": path, **self.env, **{name: str(_free_port()) for name in self.own_ports}}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def anything() -> Image:
    """The image that stands for all where a test names none: this machine as it is."""
    return Image(path=os.environ.get("PATH", ""))


def find(images: Mapping[str, Image] | None, name: str) -> Image | None:
    """An image by its whole name, without digest, or without tag; None where the registry does not have it."""
    if images is None:
        return anything()
    bare = name.partition("@")[0]
    untagged = bare.rpartition(":")[0] if ":" in bare.rpartition("/")[2] else bare
    return next((images[one] for one in (name, bare, untagged) if one in images), None)


def not_found(name: str) -> str:
    """What containerd says of an image that is not there."""
    return (
        f'failed to pull and unpack image "{name}": failed to resolve reference "{name}": '
        f"{name.partition('@')[0]}: not found"
    )
