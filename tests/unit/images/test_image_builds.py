"""The image build: the tool, its arguments and the values file. The tools are stubs that record their calls."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from images import build

ROOT = Path(__file__).resolve().parents[3]
DIGEST = "sha256:" + "ab" * 32

# Records its arguments and secrets; a push prints a digest as docker does.
STUB = """#!/bin/sh
echo "$(basename "$0") $*" >> "$CALLS"
for argument in "$@"; do
  case $argument in
    --secret=*) cp "${argument##*src=}" "$CALLS.$(echo "$argument" | sed 's/.*id=\\([a-z]*\\),.*/\\1/')" ;;
    --digestfile=*) printf %s "$DIGEST" > "${argument#*=}" ;;
  esac
done
case $1 in
  info) exit "${DAEMON:-1}" ;;
  push) echo "0.1.0: digest: $DIGEST size: 1234" ;;
esac
exit "${RESULT:-0}"
"""


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder with stubs of docker and buildah."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("docker", "buildah"):
        (folder / name).write_text(STUB)
        (folder / name).chmod(0o755)
    return folder


def make(tools: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the build script as make does, in its own folder."""
    variables = {"PATH": f"{tools}:/usr/bin:/bin", "CALLS": str(tools / "calls"), "DIGEST": DIGEST, **environment}
    command = [sys.executable, str(ROOT / "images" / "build.py"), *arguments]
    return subprocess.run(command, cwd=tools, env=variables, capture_output=True, text=True)


def calls(tools: Path) -> list[str]:
    return [line for line in (tools / "calls").read_text().splitlines() if " info" not in line]


def test_docker_is_used_if_its_daemon_responds(tools: Path) -> None:
    done = make(tools, "--registry", "registry.example/team", DAEMON="0")
    assert done.returncode == 0, done.stderr
    assert [call.split()[:2] for call in calls(tools)] == [["docker", "build"]] * 3


def test_buildah_is_used_without_a_docker_daemon(tools: Path) -> None:
    assert make(tools, "--registry", "registry.example/team").returncode == 0
    assert [call.split()[:2] for call in calls(tools)] == [["buildah", "bud"]] * 3


def test_without_docker_and_buildah_the_error_says_what_to_install(tools: Path) -> None:
    for name in ("docker", "buildah"):
        (tools / name).unlink()
    done = subprocess.run(
        [sys.executable, str(ROOT / "images" / "build.py"), "--registry", "registry.example/team"],
        cwd=tools, env={"PATH": str(tools)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 10
    assert "docker" in done.stderr
    assert "apt-get install buildah" in done.stderr


@pytest.mark.parametrize("registry", ["", "Registry.Example/Team", "registry.example/", "https://registry.example"])
def test_an_invalid_registry_is_rejected(tools: Path, registry: str) -> None:
    done = make(tools, "--registry", registry)
    assert done.returncode == 10
    assert "REGISTRY=registry.example/team" in done.stderr


@pytest.mark.parametrize("registry", ["localhost", "localhost:5000", "registry.example/team/catalog"])
def test_a_registry_may_have_a_port_and_a_path(tools: Path, registry: str) -> None:
    assert make(tools, "--registry", registry).returncode == 0
    assert f"--tag={registry}/skutune-train:{build.version()}" in calls(tools)[2]


def test_the_cpu_flavor_uses_python_and_the_gpu_flavor_the_dockerfiles_base_images(tools: Path) -> None:
    make(tools, "--registry", "registry.example/team", "--flavor", "cpu")
    cpu = calls(tools)
    (tools / "calls").unlink()
    make(tools, "--registry", "registry.example/team", "--flavor", "gpu")
    gpu = calls(tools)
    assert "BASE_IMAGE" not in cpu[0]  # the controller's default base
    for call in cpu[1:]:
        assert "--build-arg=BASE_IMAGE=python:3.11-slim" in call
        assert "--build-arg=CONSTRAINTS=constraints-cpu.txt" in call
    assert not any("BASE_IMAGE" in call or "CONSTRAINTS" in call for call in gpu)


def test_a_pushed_image_is_referenced_by_the_registrys_digest(tools: Path) -> None:
    for daemon in ("0", "1"):
        done = make(tools, "--registry", "registry.example/team", "--push", DAEMON=daemon)
        assert done.returncode == 0, done.stderr
        written = yaml.safe_load((tools / "images-values.yaml").read_text())["images"]
        assert written["registry"] == "registry.example/team"
        for name in build.IMAGES:
            assert written[name] == {
                "repository": f"skutune-{name}", "tag": build.version(), "digest": DIGEST,
            }  # fmt: skip


def test_a_local_image_has_no_digest(tools: Path) -> None:
    make(tools, "--registry", "registry.example/team", "--tag", "7")
    written = yaml.safe_load((tools / "images-values.yaml").read_text())["images"]
    assert written["train"] == {"repository": "skutune-train", "tag": "7"}


def test_the_values_of_a_build_comply_with_the_charts_schema(tools: Path) -> None:
    from jsonschema import Draft7Validator

    make(tools, "--registry", "registry.example/team", "--push")
    schema = json.loads((ROOT / "helm" / "skutune" / "values.schema.json").read_text())
    written = yaml.safe_load((tools / "images-values.yaml").read_text())
    # The file is merged with others, so missing values are allowed.
    errors = [error.message for error in Draft7Validator(schema).iter_errors(written) if error.validator != "required"]
    assert errors == []
    written["images"]["train"]["digset"] = DIGEST
    assert "digset" in " ".join(error.message for error in Draft7Validator(schema).iter_errors(written))


def test_a_single_image_can_be_built_on_another_base_image(tools: Path) -> None:
    make(tools, "--registry", "localhost", "--only", "train", "--base", "registry.example/torch:2")
    assert len(calls(tools)) == 1
    assert "--build-arg=BASE_IMAGE=registry.example/torch:2" in calls(tools)[0]
    assert set(yaml.safe_load((tools / "images-values.yaml").read_text())["images"]) == {"registry", "train"}
    assert make(tools, "--registry", "localhost", "--base", "registry.example/torch:2").returncode == 10


def test_the_callers_pip_settings_are_a_build_secret(tools: Path, tmp_path: Path) -> None:
    certificate = tmp_path / "company.pem"
    certificate.write_text("a certificate")
    index = "https://someone:password@index.example/simple"
    make(tools, "--registry", "localhost", PIP_INDEX_URL=index, PIP_CERT=str(certificate))
    assert not any("password" in call for call in calls(tools))
    config = (tools / "calls.pip").read_text().splitlines()
    assert config == ["[global]", f"index-url = {index}", "cert = /run/secrets/ca"]
    assert (tools / "calls.ca").read_text() == "a certificate"


def test_a_local_wheel_folder_is_mounted_by_buildah_and_rejected_with_docker(tools: Path, tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    assert make(tools, "--registry", "localhost", PIP_FIND_LINKS=str(wheels)).returncode == 0
    assert f"--volume={wheels}:{wheels}:ro" in calls(tools)[0]
    done = make(tools, "--registry", "localhost", PIP_FIND_LINKS=str(wheels), DAEMON="0")
    assert done.returncode == 10
    assert str(wheels) in done.stderr


def test_a_failed_build_keeps_its_exit_code_and_writes_no_values(tools: Path) -> None:
    done = make(tools, "--registry", "localhost", RESULT="125")
    assert done.returncode == 125
    assert len(calls(tools)) == 1
    assert not (tools / "images-values.yaml").exists()


def test_make_passes_its_variables_to_the_build(tools: Path) -> None:
    """With `--just-print`, because the target would create a virtual environment."""
    words = ["make", "--just-print", "images", "REGISTRY=registry.example/team", "PUSH=1", "FLAVOR=cpu", "TAG=7"]
    done = subprocess.run(words, cwd=ROOT, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True)
    printed = " ".join(done.stdout.replace("\\\n", " ").split())
    assert "images/build.py --registry 'registry.example/team' --push --flavor 'cpu' --tag '7'" in printed


def test_scripts_are_executable() -> None:
    for script in (ROOT / "k8s" / "fake-gpus.sh", ROOT / "k8s" / "ci" / "wait-for-run.sh"):
        assert script.stat().st_mode & stat.S_IXUSR
