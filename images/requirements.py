"""Prints the requirements that pyproject.toml lists for some extras, and pins what a base image already holds.

    python3 requirements.py s3 generate             # one requirement a line
    python3 requirements.py --keep torch vllm       # constraints: the versions of these that this Python already has

Images install dependencies before the package itself, so that a change of skutune's code changes a layer of a
megabyte and not one of hundreds. pip has no command for that.
"""

from __future__ import annotations

import argparse
import re
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

_OWN_EXTRAS = re.compile(r"skutune\[(?P<extras>[a-z0-9_, -]+)\]")


def requirements(project: dict[str, Any], extras: Iterable[str]) -> Iterator[str]:
    """The project's requirements and those of these extras; an extra that names others stands for them.

    Raises:
        KeyError: the project has no such extra.
    """
    yield from project["dependencies"]
    for extra in extras:
        yield from _of_extra(project["optional-dependencies"], extra)


def kept(prefixes: tuple[str, ...]) -> Iterator[str]:
    """A pin for each installed distribution whose name begins with one of these."""
    found = {distribution.metadata["Name"].lower(): distribution.version for distribution in distributions()}
    for name, version in sorted(found.items()):
        if name.startswith(prefixes):
            yield f"{name}=={version}"


def _of_extra(optional: dict[str, list[str]], extra: str) -> Iterator[str]:
    for requirement in optional[extra]:
        own = _OWN_EXTRAS.fullmatch(requirement)
        if own is None:
            yield requirement
            continue
        for other in own["extras"].split(","):
            yield from _of_extra(optional, other.strip())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--keep", action="store_true", help="the names are prefixes of installed packages to pin")
    parser.add_argument("--project", type=Path, default=Path(__file__).with_name("pyproject.toml"))
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    if arguments.keep:
        print(*kept(tuple(arguments.names)), sep="\n")
    else:
        project = tomllib.loads(arguments.project.read_text(encoding="utf-8"))["project"]
        print(*dict.fromkeys(requirements(project, arguments.names)), sep="\n")


if __name__ == "__main__":
    main()
