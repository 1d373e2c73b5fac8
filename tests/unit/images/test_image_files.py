"""Properties of the Dockerfiles that clusters rely on."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from images import requirements
from skutune.pipeline import graph

ROOT = Path(__file__).resolve().parents[3]
IMAGES = ("controller", "generate", "train")


def dockerfile(image: str) -> str:
    """The text of a Dockerfile, with continued lines joined and without comments."""
    text = (ROOT / "images" / image / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return "\n".join(lines).replace("\\\n", " ")


def final_stage(image: str) -> list[tuple[str, str]]:
    """Instructions and arguments of the final stage."""
    last = re.split(r"^FROM ", dockerfile(image), flags=re.M)[-1].splitlines()[1:]
    return [tuple(line.split(None, 1)) for line in last if line.strip()]  # type: ignore[misc]


@pytest.mark.parametrize("image", IMAGES)
def test_a_dockerfile_passes_the_linter(image: str) -> None:
    linter = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([linter, ROOT / "images" / image / "Dockerfile"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_linter_finds_violations(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM python\nRUN cd /tmp && pip install torch\n")
    done = subprocess.run([Path(sys.executable).with_name("hadolint"), tmp_path / "Dockerfile"], capture_output=True)
    assert done.returncode != 0
    assert b"DL3006" in done.stdout


def test_every_stage_has_an_image() -> None:
    assert {stage.image for stage in graph.CLUSTER_STAGES.values()} == set(IMAGES)


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_runs_as_a_numeric_non_root_user(image: str) -> None:
    """`runAsNonRoot` cannot verify a user name."""
    users = [arguments for instruction, arguments in final_stage(image) if instruction == "USER"]
    assert users
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1])


@pytest.mark.parametrize("image", IMAGES)
def test_the_final_stage_runs_no_commands(image: str) -> None:
    """So that no build tool, package cache or secret is left in the image."""
    assert {instruction for instruction, _ in final_stage(image)} <= {
        "ARG", "ENV", "LABEL", "COPY", "USER", "WORKDIR", "ENTRYPOINT", "CMD",
    }  # fmt: skip


@pytest.mark.parametrize("image", IMAGES)
def test_the_code_is_in_a_layer_after_the_dependencies(image: str) -> None:
    copied = [arguments for instruction, arguments in final_stage(image) if instruction == "COPY"]
    assert copied[0].startswith("--from=dependencies ")
    assert copied[-1].startswith("--from=package ")
    dependencies = dockerfile(image).split("FROM dependencies")[0]
    assert not re.search(r"^COPY .*\bsrc\b", dependencies, flags=re.M)


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_has_oci_labels(image: str) -> None:
    labels = " ".join(arguments for instruction, arguments in final_stage(image) if instruction == "LABEL")
    for label in ("title", "description", "licenses", "version", "revision", "base.name"):
        assert f"org.opencontainers.image.{label}=" in labels


@pytest.mark.parametrize("image", IMAGES)
def test_the_base_image_has_a_version_and_can_be_replaced(image: str) -> None:
    base = re.search(r"^ARG BASE_IMAGE=(\S+)", dockerfile(image), flags=re.M)
    assert base is not None
    assert re.fullmatch(r"[^:]+:.*\d+\.\d+.*", base[1])
    assert set(re.findall(r"^FROM (\S+)", dockerfile(image), flags=re.M)) == {"${BASE_IMAGE}", "dependencies"}


@pytest.mark.parametrize("image", IMAGES)
def test_copied_files_exist_and_are_not_ignored(image: str) -> None:
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile(image), flags=re.M)
    sources = [source for line in copies for source in line.split()]
    assert sources
    for source in sources:
        assert list(ROOT.glob(source)), source
        assert source in allowed, source


@pytest.mark.parametrize("image", IMAGES)
def test_packages_are_pinned_by_a_constraints_file(image: str) -> None:
    text = dockerfile(image)
    default = re.search(r"^ARG CONSTRAINTS=(\S+)", text, flags=re.M)
    assert default is not None
    assert (ROOT / "images" / default[1]).is_file()
    for install in re.findall(r"pip --python \S+ install ([^&]*)", text):
        assert "--no-deps" in install or "-c " in install or re.search(r'"setuptools>=', install), install


def test_every_requirement_of_an_image_on_a_cpu_is_pinned_exactly() -> None:
    pins = (ROOT / "images" / "constraints-cpu.txt").read_text().splitlines()
    pinned = {normalized(line) for line in pins if "==" in line}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {
        normalized(requirement)
        for image in IMAGES
        for extras in extras_of(image)
        for requirement in requirements.requirements(project, [extra for extra in extras if extra != "gpu"])
    }
    assert {"torch", "kubernetes", "huggingface-hub", "deepspeed"} <= wanted
    assert wanted - pinned == set()


def normalized(requirement: str) -> str:
    """The normalized package name of a requirement."""
    return re.split(r"[^A-Za-z0-9._-]", requirement.strip())[0].lower().replace("_", "-")


def extras_of(image: str) -> list[list[str]]:
    """The extras of each call of requirements.py in a Dockerfile, with the default of the build argument."""
    text = dockerfile(image)
    default = re.search(r'^ARG EXTRAS="([a-z0-9 ]+)"$', text, re.MULTILINE)
    asked = re.findall(r"requirements\.py ((?:[a-z0-9]+ )+|\$\{EXTRAS\} )>", text)
    return [(default[1] if default and "$" in extras else extras).split() for extras in asked]


def test_only_images_of_torch_stages_contain_torch() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    holding = {
        image
        for image in IMAGES
        for extras in extras_of(image)
        if any(each.startswith("torch") for each in requirements.requirements(project, extras))
    }
    assert holding == {"generate", "train"}


def test_the_requirements_of_extras_include_the_packages() -> None:
    project = {
        "dependencies": ["pyyaml>=6"],
        "optional-dependencies": {
            "s3": ["boto3>=1.36"],
            "train": ["torch>=2.6"],
            "all": ["skutune[s3, train]", "gguf>=0.10"],
        },
    }
    assert list(requirements.requirements(project, ["s3"])) == ["pyyaml>=6", "boto3>=1.36"]
    assert list(requirements.requirements(project, ["all"])) == ["pyyaml>=6", "boto3>=1.36", "torch>=2.6", "gguf>=0.10"]
    with pytest.raises(KeyError):
        list(requirements.requirements(project, ["nothing"]))


def test_installed_packages_are_pinned() -> None:
    kept = list(requirements.kept(("pytest",)))
    assert f"pytest=={pytest.__version__}" in kept
    assert list(requirements.kept(("no-such-package",))) == []
