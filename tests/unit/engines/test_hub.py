"""A hub model: only what is read is downloaded, and an error says who must act. Against a hub on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from model_hub import COMMIT, Hub, serving
from servers import free_port

ASK = """
import sys
from pathlib import Path
from skutune.config.schema import ModelConfig
from skutune.engines.weights.locate import resolve
from skutune.errors import SkutuneError

try:
    weights = resolve(ModelConfig(name="owner/model"), Path(sys.argv[1]))
except SkutuneError as error:
    print(type(error).__name__, error)
else:
    print("found", weights.identity)
    print(*sorted(path.relative_to(weights.path).as_posix() for path in weights.path.rglob("*") if path.is_file()))
"""
READ = [
    *("config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt", "merges.txt", "tokenizer.model"),
    *("chat_template.jinja", "modules.json", "1_Pooling/config.json", "2_Dense/model.safetensors"),
    *("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"),
]
NOT_READ = [
    *("model.gguf", "onnx/model.onnx", "onnx/config.json", "openvino/openvino_model.bin", "tf_model.h5"),
    *("original/consolidated.00.pth", "consolidated.safetensors", "training_args.bin", "README.md", "code.py"),
]


def told(endpoint: str, folder: Path, before: tuple[str, ...] = (), **environment: str) -> str:
    """What a process says that looks for the model; a process of its own, because the client reads HF_* once."""
    settings = {"HF_ENDPOINT": endpoint, "HF_HOME": str(folder / "home"), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    done = subprocess.run(
        [*before, sys.executable, "-c", ASK, str(folder / "cache")],
        capture_output=True, text=True, timeout=120, env={**kept, **settings, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_only_what_is_read_is_downloaded(tmp_path: Path) -> None:
    hub = Hub(dict.fromkeys([*READ, *NOT_READ, "pytorch_model.bin"], b"{}"))
    with serving(hub) as endpoint:
        found, files = told(endpoint, tmp_path).splitlines()
    assert found == f"found owner/model@{COMMIT}"
    assert files.split() == sorted(READ)


def test_pickled_weights_are_downloaded_where_there_are_no_others(tmp_path: Path) -> None:
    old = ["config.json", "pytorch_model-00001-of-00001.bin", "pytorch_model.bin.index.json"]
    with serving(Hub(dict.fromkeys([*old, *NOT_READ], b"{}"))) as endpoint:
        _, files = told(endpoint, tmp_path).splitlines()
    assert files.split() == sorted(old)


def test_a_downloaded_model_is_found_again_without_the_hub(tmp_path: Path) -> None:
    hub = Hub(dict.fromkeys(READ, b"{}"))
    with serving(hub) as endpoint:
        first = told(endpoint, tmp_path)
        hub.status = 503
        assert told(endpoint, tmp_path) == first
    assert told(endpoint, tmp_path) == first
    assert (tmp_path / "home" / "hub").is_dir()
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_or_failing_hub_is_worth_another_try(tmp_path: Path, status: int) -> None:
    hub = Hub({})
    hub.status = status
    with serving(hub) as endpoint:
        assert told(endpoint, tmp_path).startswith("RetryableError model owner/model (revision main): the hub is busy")


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_model_that_this_user_cannot_have_is_an_error_of_the_input(tmp_path: Path, status: int) -> None:
    hub = Hub({})
    hub.status = status
    with serving(hub) as endpoint:
        said = told(endpoint, tmp_path)
    assert said.startswith("InputError model owner/model (revision main): the hub refuses it")
    assert "set HF_TOKEN" in said


def test_a_hub_that_nobody_answers_for_is_worth_another_try(tmp_path: Path) -> None:
    said = told(f"http://127.0.0.1:{free_port()}", tmp_path)
    assert said.startswith("RetryableError model owner/model: the hub cannot be reached")
    assert "HF_ENDPOINT" in said


def test_a_transfer_that_breaks_off_is_worth_another_try(tmp_path: Path) -> None:
    hub = Hub(dict.fromkeys(READ, b"{}"))
    hub.cut = True
    with serving(hub) as endpoint:
        assert told(endpoint, tmp_path).startswith("RetryableError model owner/model: the hub cannot be reached, or")


def test_a_page_in_place_of_the_hub_is_an_error_of_the_input(tmp_path: Path) -> None:
    hub = Hub({})
    hub.answer = lambda path: (200, b"<html>Log in to the network</html>")  # type: ignore[method-assign]
    with serving(hub) as endpoint:
        assert "the server is not a model hub" in told(endpoint, tmp_path)


def test_a_cache_that_may_not_be_filled_from_the_hub_says_so(tmp_path: Path) -> None:
    said = told("http://127.0.0.1:9", tmp_path, HF_HUB_OFFLINE="1")
    assert said.startswith("InputError model owner/model: is not in the local cache, and HF_HUB_OFFLINE is set")


def test_a_disk_that_the_model_fills_is_worth_another_try(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    rights = [] if os.geteuid() == 0 else ["--map-root-user"]
    isolated = ("unshare", *rights, "--mount", "sh", "-c")
    mount = f"mount -t tmpfs -o size=1m tmpfs '{tmp_path / 'home'}'"
    if subprocess.run([*isolated, mount], capture_output=True).returncode:
        pytest.skip("a small file system of one's own needs root or user namespaces, and this kernel allows neither")
    with serving(Hub({"config.json": b"{}", "model.safetensors": bytes(4 << 20)})) as endpoint:
        said = told(endpoint, tmp_path, (*isolated, f'{mount} && exec "$0" "$@"'))
    assert said.startswith("RetryableError cannot write")
    assert "the disk is full" in said
