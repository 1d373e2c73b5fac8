"""Builds skutune's three images with docker or buildah, and writes a values file with them for the chart.

    make images REGISTRY=registry.example/team [PUSH=1] [FLAVOR=cpu|gpu] [TAG=…]

The caller's pip settings (PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS, PIP_TRUSTED_HOST, PIP_CERT) are passed to
the build as a secret and are not stored in any layer. With PUSH=1 the values file has digests, else tags, because the
digest is known only after the push.

Exit codes: 0 success; 10 fix the arguments or the machine's setup; otherwise the exit code of docker or buildah.
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
INPUT_ERROR = 10
_REGISTRY = re.compile(r"[a-z0-9.-]+(:\d+)?(/[a-z0-9._-]+)*")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")

Tool = Literal["docker", "buildah"]


class BuildError(Exception):
    """The arguments or the machine's setup are wrong; the message says what to change."""


@dataclass(frozen=True)
class Plan:
    """What to build, and the registry and tag of the images."""

    registry: str
    tag: str
    flavor: str
    push: bool
    base: str | None = None

    def image(self, name: str) -> str:
        """The reference of an image, with its tag."""
        return f"{self.registry}/{repository(name)}:{self.tag}"

    def build_arguments(self, name: str) -> dict[str, str]:
        """The build arguments of one image. The controller's image has no GPU flavor."""
        arguments = {"VERSION": self.tag, "REVISION": revision()}
        if self.flavor == "cpu" and name != "controller":
            arguments |= {"BASE_IMAGE": CPU_BASE, "CONSTRAINTS": "constraints-cpu.txt"}
        if self.flavor == "cpu" and name == "train":
            arguments["EXTRAS"] = "s3 train"
        if self.base is not None:
            arguments["BASE_IMAGE"] = self.base
        return arguments


def repository(name: str) -> str:
    """The repository of an image in the registry, which is also the chart's default."""
    return f"skutune-{name}"


def version() -> str:
    """The package's version."""
    project: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project["version"]


def revision() -> str:
    """The current commit, or `unknown` outside a git checkout."""
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def find_tool() -> Tool:
    """docker if its daemon responds, else buildah. Raises BuildError if neither is available."""
    if shutil.which("docker") and subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0:
        return "docker"
    if shutil.which("buildah"):
        return "buildah"
    raise BuildError(
        "neither docker (`docker info` fails) nor buildah is available; start docker, or install buildah "
        "(on Debian: apt-get install buildah runc)"
    )


def pip_config(environment: Mapping[str, str]) -> str:
    """pip's configuration for the build, from the caller's PIP_* variables. The certificate is a secret of its own."""
    settings = {name: environment.get(f"PIP_{name.replace('-', '_').upper()}") for name in PIP_SETTINGS}
    lines = [f"{name} = {value}" for name, value in settings.items() if value]
    if environment.get("PIP_CERT"):
        lines.append("cert = /run/secrets/ca")
    return "\n".join(["[global]", *lines, ""])


def secret_arguments(folder: Path, environment: Mapping[str, str]) -> list[str]:
    """Write the build secrets into a folder. Returns the arguments that pass them to docker or buildah."""
    config = folder / "pip"
    config.write_text(pip_config(environment), encoding="utf-8")
    arguments = [f"--secret=id=pip,src={config}"]
    if environment.get("PIP_CERT"):
        arguments.append(f"--secret=id=ca,src={environment['PIP_CERT']}")
    return arguments


def mounted_folders(tool: Tool, environment: Mapping[str, str]) -> list[str]:
    """The arguments that mount local wheel folders (PIP_FIND_LINKS) into the build.

    Raises:
        BuildError: there are such folders and the tool is docker, which cannot mount them.
    """
    folders = [link for link in environment.get("PIP_FIND_LINKS", "").split() if Path(link).is_dir()]
    if folders and tool == "docker":
        raise BuildError(
            f"PIP_FIND_LINKS has local folders ({', '.join(folders)}), which a docker build cannot mount; "
            "use an index or a URL instead, or build with buildah (TOOL=buildah)"
        )
    return [f"--volume={folder}:{folder}:ro" for folder in folders]


def build_command(tool: Tool, plan: Plan, name: str, environment_arguments: list[str]) -> list[str]:
    """The command that builds one image."""
    verb = ["docker", "build"] if tool == "docker" else ["buildah", "bud", "--layers"]
    arguments = [f"--build-arg={key}={value}" for key, value in plan.build_arguments(name).items()]
    context = [f"--file={ROOT / 'images' / name / 'Dockerfile'}", f"--tag={plan.image(name)}", str(ROOT)]
    return [*verb, *arguments, *environment_arguments, *context]


def push(tool: Tool, image: str, folder: Path) -> str:
    """Push an image. Returns its digest in the registry."""
    if tool == "buildah":
        file = folder / "digest"
        run(["buildah", "push", f"--digestfile={file}", image])
        output = file.read_text(encoding="utf-8")
    else:
        output = run(["docker", "push", image], capture=True)
    digests = _DIGEST.findall(output)
    if not digests:
        raise BuildError(f"{tool} pushed {image} but printed no digest; its output:\n{output}")
    return str(digests[-1])


def values(plan: Plan, names: Iterable[str], digests: Mapping[str, str]) -> str:
    """The values file of the images, with digests where they are known."""
    lines = [
        f"# The images of skutune {plan.tag} ({plan.flavor} flavor): helm install … -f images-values.yaml",
        "images:",
        f"  registry: {plan.registry}",
    ]
    for name in names:
        lines += [f"  {name}:", f"    repository: {repository(name)}", f'    tag: "{plan.tag}"']
        if name in digests:
            lines.append(f"    digest: {digests[name]}")
    return "\n".join([*lines, ""])


def run(command: list[str], capture: bool = False) -> str:
    """Run a command and show its output (returned with `capture`). Exits with the command's exit code on failure."""
    print("+ " + " ".join(command), file=sys.stderr, flush=True)
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE if capture else sys.stderr, text=True, check=False)
    if capture:
        print(done.stdout, end="", file=sys.stderr)
    if done.returncode:
        print(f"{command[0]} failed with exit code {done.returncode}", file=sys.stderr)
        raise SystemExit(done.returncode)
    return done.stdout or ""


def build_all(tool: Tool, plan: Plan, names: tuple[str, ...], environment: Mapping[str, str]) -> dict[str, str]:
    """Build images, and push them if the plan says so. Returns the digests of the pushed images."""
    digests = {}
    with tempfile.TemporaryDirectory(prefix="skutune-images-") as scratch:
        folder = Path(scratch)
        environment_arguments = [*secret_arguments(folder, environment), *mounted_folders(tool, environment)]
        for name in names:
            run(build_command(tool, plan, name, environment_arguments))
            if plan.push:
                digests[name] = push(tool, plan.image(name), folder)
    return digests


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--registry", default="", help="registry and path, for example registry.example/team")
    parser.add_argument("--tag", default=None, help="default: the package's version")
    parser.add_argument("--flavor", default="gpu", choices=FLAVORS, help="flavor of generate and train")
    parser.add_argument(
        "--base", default=None, help="another base image; requires --only, since each image has its own base"
    )
    parser.add_argument("--only", choices=IMAGES, action="append", help="build only this image; may be repeated")
    parser.add_argument("--push", action="store_true", help="push the images and write their digests")
    parser.add_argument("--tool", choices=("docker", "buildah"), default=None)
    parser.add_argument("--values", type=Path, default=Path("images-values.yaml"), help="the values file to write")
    return parser.parse_args(arguments)


def make_plan(options: argparse.Namespace) -> Plan:
    """The plan of the command line. Raises BuildError for invalid options."""
    if not _REGISTRY.fullmatch(options.registry):
        raise BuildError(
            f"REGISTRY={options.registry!r} is not a registry; use the form REGISTRY=registry.example/team"
        )
    if options.base and not options.only:
        raise BuildError("--base applies to a single image; select it with --only")
    return Plan(options.registry, options.tag or version(), options.flavor, options.push, options.base)


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    try:
        plan = make_plan(options)
        names = tuple(options.only or IMAGES)
        digests = build_all(options.tool or find_tool(), plan, names, os.environ)
    except BuildError as error:
        print(error, file=sys.stderr)
        raise SystemExit(INPUT_ERROR) from None
    options.values.write_text(values(plan, names, digests), encoding="utf-8")
    print(options.values)


if __name__ == "__main__":
    main()
