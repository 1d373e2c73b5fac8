"""Prints the requirements of extras in pyproject.toml, or pins for packages of the base image.

    python3 requirements.py s3 generate             # one requirement per line
    python3 requirements.py --keep torch vllm       # constraints: the installed versions of these packages

Images install the dependencies before skutune itself, so that a change of the code changes a layer of one megabyte
instead of hundreds. pip has no command to install only the dependencies.
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
    """The requirements of the project and of extras. Extras that refer to other extras are resolved.

    Raises:
        KeyError: an extra does not exist.
    """
    yield from project["dependencies"]
    for extra in extras:
        yield from _of_extra(project["optional-dependencies"], extra)


def kept(prefixes: tuple[str, ...]) -> Iterator[str]:
    """A pin for each installed distribution whose name starts with one of the prefixes."""
    versions = {distribution.metadata["Name"].lower(): distribution.version for distribution in distributions()}
    for name, version in sorted(versions.items()):
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
