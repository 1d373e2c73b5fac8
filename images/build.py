"""Builds skutune's three images with docker or buildah, and writes a values file for the chart that names them.

    make images REGISTRY=registry.example/team [PUSH=1] [FLAVOR=cpu|gpu] [TAG=…]

The package index of whoever builds (PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS, PIP_TRUSTED_HOST, PIP_CERT) is
handed to the build as a secret: it works inside and stays in no layer. With PUSH=1 the values file names digests, else
tags, because an image has the digest that counts only once a registry holds it.

Exit codes: 0 done; 10 something about the call or the machine must change; what the tool said otherwise.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ("controller", "generate", "train")
FLAVORS = ("cpu", "gpu")
CPU_BASE = "python:3.11-slim"
PIP_SETTINGS = ("index-url", "extra-index-url", "find-links", "trusted-host")
BAD_CALL = 10
_REGISTRY = re.compile(r"[a-z0-9.-]+(:\d+)?(/[a-z0-9._-]+)*")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")

Tool = Literal["docker", "buildah"]


class BuildError(Exception):
    """Whoever called must change something; the message says what."""


@dataclass(frozen=True)
class Plan:
    """What is built, and where it goes."""

    registry: str
    tag: str
    flavor: str
    push: bool
    base: str | None = None

    def image(self, name: str) -> str:
        """The full name of an image, with its tag."""
        return f"{self.registry}/{repository(name)}:{self.tag}"

    def build_arguments(self, name: str) -> dict[str, str]:
        """The build arguments of one image. The controller is of the CPU flavour always."""
        arguments = {"VERSION": self.tag, "REVISION": revision()}
        if self.flavor == "cpu" and name != "controller":
            arguments |= {"BASE_IMAGE": CPU_BASE, "CONSTRAINTS": "constraints-cpu.txt"}
        if self.flavor == "cpu" and name == "train":
            arguments["EXTRAS"] = "s3 train"
        if self.base is not None:
            arguments["BASE_IMAGE"] = self.base
        return arguments


def repository(name: str) -> str:
    """The repository of an image below the registry, as the chart's values have it by default."""
    return f"skutune-{name}"


def version() -> str:
    """The package's version."""
    project: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project["version"]


def revision() -> str:
    """The commit that is built, or `unknown` outside a checkout."""
    found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


def find_tool() -> Tool:
    """docker where its daemon answers, else buildah. Raises BuildError where there is neither."""
    if shutil.which("docker") and subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0:
        return "docker"
    if shutil.which("buildah"):
        return "buildah"
    raise BuildError(
        "images are built with docker or buildah, and this machine has neither a docker that answers (`docker info`) "
        "nor buildah: start docker, or install buildah (on Debian: apt-get install buildah runc)"
    )


def pip_config(environment: Mapping[str, str]) -> str:
    """pip's configuration for the build, from the caller's PIP_* variables. The certificate lies beside it."""
    settings = {name: environment.get(f"PIP_{name.replace('-', '_').upper()}") for name in PIP_SETTINGS}
    lines = [f"{name} = {value}" for name, value in settings.items() if value]
    if environment.get("PIP_CERT"):
        lines.append("cert = /run/secrets/ca")
    return "\n".join(["[global]", *lines, ""])


def secret_arguments(folder: Path, environment: Mapping[str, str]) -> list[str]:
    """Write the secrets of a build into a folder, and name them in the tool's arguments (docker's and buildah's)."""
    config = folder / "pip"
    config.write_text(pip_config(environment), encoding="utf-8")
    arguments = [f"--secret=id=pip,src={config}"]
    if environment.get("PIP_CERT"):
        arguments.append(f"--secret=id=ca,src={environment['PIP_CERT']}")
    return arguments


def mounted_folders(tool: Tool, environment: Mapping[str, str]) -> list[str]:
    """Folders of wheels that the caller's pip reads, for the build to read too.

    Raises:
        BuildError: there are some, and docker builds, which cannot mount a folder of this machine.
    """
    folders = [link for link in environment.get("PIP_FIND_LINKS", "").split() if Path(link).is_dir()]
    if folders and tool == "docker":
        raise BuildError(
            f"PIP_FIND_LINKS names folders of this machine ({', '.join(folders)}), which a docker build cannot read: "
            "name an index or a page of links instead, or build with buildah (TOOL=buildah)"
        )
    return [f"--volume={folder}:{folder}:ro" for folder in folders]


def build_command(tool: Tool, plan: Plan, name: str, environment_arguments: list[str]) -> list[str]:
    """The command that builds one image out of the checkout."""
    verb = ["docker", "build"] if tool == "docker" else ["buildah", "bud", "--layers"]
    arguments = [f"--build-arg={key}={value}" for key, value in plan.build_arguments(name).items()]
    where = [f"--file={ROOT / 'images' / name / 'Dockerfile'}", f"--tag={plan.image(name)}", str(ROOT)]
    return [*verb, *arguments, *environment_arguments, *where]


def push(tool: Tool, image: str, folder: Path) -> str:
    """Push an image; returns the digest under which the registry holds it."""
    if tool == "buildah":
        file = folder / "digest"
        run(["buildah", "push", f"--digestfile={file}", image])
        found = file.read_text(encoding="utf-8")
    else:
        found = run(["docker", "push", image], keep=True)
    digests = _DIGEST.findall(found)
    if not digests:
        raise BuildError(f"{tool} pushed {image} and named no digest; it said:\n{found}")
    return str(digests[-1])


def values(plan: Plan, names: Iterable[str], digests: Mapping[str, str]) -> str:
    """The values file of these images: by digest where there is one, else by tag."""
    lines = [
        f"# The images of skutune {plan.tag} ({plan.flavor} flavour): helm install … -f images-values.yaml",
        "images:",
        f"  registry: {plan.registry}",
    ]
    for name in names:
        lines += [f"  {name}:", f"    repository: {repository(name)}", f'    tag: "{plan.tag}"']
        if name in digests:
            lines.append(f"    digest: {digests[name]}")
    return "\n".join([*lines, ""])


def run(command: list[str], keep: bool = False) -> str:
    """Run a command before the caller's eyes; with `keep` its output comes back too. Ends as the command ended."""
    print("+ " + " ".join(command), file=sys.stderr, flush=True)
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE if keep else sys.stderr, text=True, check=False)
    if keep:
        print(done.stdout, end="", file=sys.stderr)
    if done.returncode:
        print(f"{command[0]} failed with exit code {done.returncode}", file=sys.stderr)
        raise SystemExit(done.returncode)
    return done.stdout or ""


def build_all(tool: Tool, plan: Plan, names: tuple[str, ...], environment: Mapping[str, str]) -> dict[str, str]:
    """Build these images, and push them where the plan says so; returns their digests."""
    digests = {}
    with tempfile.TemporaryDirectory(prefix="skutune-images-") as scratch:
        folder = Path(scratch)
        given = [*secret_arguments(folder, environment), *mounted_folders(tool, environment)]
        for name in names:
            run(build_command(tool, plan, name, given))
            if plan.push:
                digests[name] = push(tool, plan.image(name), folder)
    return digests


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--registry", default="", help="where the images belong, as registry.example/team")
    parser.add_argument("--tag", default=None, help="default: the package's version")
    parser.add_argument("--flavor", default="gpu", choices=FLAVORS, help="what generate and train are built for")
    parser.add_argument("--base", default=None, help="another base image; with --only, since each image has its own")
    parser.add_argument("--only", choices=IMAGES, action="append", help="build this one (again: and this one)")
    parser.add_argument("--push", action="store_true", help="push, and write digests")
    parser.add_argument("--tool", choices=("docker", "buildah"), default=None)
    parser.add_argument("--values", type=Path, default=Path("images-values.yaml"), help="the values file to write")
    return parser.parse_args(arguments)


def planned(options: argparse.Namespace) -> Plan:
    """The plan of the command line. Raises BuildError for what cannot be meant."""
    if not _REGISTRY.fullmatch(options.registry):
        raise BuildError(
            f"REGISTRY={options.registry!r}: say where the images belong, as REGISTRY=registry.example/team"
        )
    if options.base and not options.only:
        raise BuildError("--base replaces the base of one image: name it with --only")
    return Plan(options.registry, options.tag or version(), options.flavor, options.push, options.base)


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    try:
        plan = planned(options)
        names = tuple(options.only or IMAGES)
        digests = build_all(options.tool or find_tool(), plan, names, os.environ)
    except BuildError as error:
        print(error, file=sys.stderr)
        raise SystemExit(BAD_CALL) from None
    options.values.write_text(values(plan, names, digests), encoding="utf-8")
    print(options.values)


if __name__ == "__main__":
    main()
