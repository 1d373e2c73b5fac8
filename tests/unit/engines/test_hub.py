"""Downloads from a local hub: only the required files are downloaded, and errors have the right class."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from model_hub import COMMIT, Hub, serving
from servers import free_port

RESOLVE = """
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
    print("resolved", weights.identity)
    print(*sorted(path.relative_to(weights.path).as_posix() for path in weights.path.rglob("*") if path.is_file()))
"""
REQUIRED = [
    *("config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt", "merges.txt", "tokenizer.model"),
    *("chat_template.jinja", "modules.json", "1_Pooling/config.json", "2_Dense/model.safetensors"),
    *("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"),
]
IGNORED = [
    *("model.gguf", "onnx/model.onnx", "onnx/config.json", "openvino/openvino_model.bin", "tf_model.h5"),
    *("original/consolidated.00.pth", "consolidated.safetensors", "training_args.bin", "README.md", "code.py"),
]


def resolve_output(endpoint: str, folder: Path, prefix: tuple[str, ...] = (), **environment: str) -> str:
    """Resolve the model in a new process, because the client reads HF_* only once, and return its output."""
    settings = {"HF_ENDPOINT": endpoint, "HF_HOME": str(folder / "home"), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    process = subprocess.run(
        [*prefix, sys.executable, "-c", RESOLVE, str(folder / "cache")],
        capture_output=True, text=True, timeout=120, env={**kept, **settings, **environment},
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_only_required_files_are_downloaded(tmp_path: Path) -> None:
    hub = Hub(dict.fromkeys([*REQUIRED, *IGNORED, "pytorch_model.bin"], b"{}"))
    with serving(hub) as endpoint:
        resolved, files = resolve_output(endpoint, tmp_path).splitlines()
    assert resolved == f"resolved owner/model@{COMMIT}"
    assert files.split() == sorted(REQUIRED)


def test_pickled_weights_are_downloaded_without_safetensors(tmp_path: Path) -> None:
    pickled = ["config.json", "pytorch_model-00001-of-00001.bin", "pytorch_model.bin.index.json"]
    with serving(Hub(dict.fromkeys([*pickled, *IGNORED], b"{}"))) as endpoint:
        _, files = resolve_output(endpoint, tmp_path).splitlines()
    assert files.split() == sorted(pickled)


def test_a_downloaded_model_is_resolved_without_the_hub(tmp_path: Path) -> None:
    hub = Hub(dict.fromkeys(REQUIRED, b"{}"))
    with serving(hub) as endpoint:
        first = resolve_output(endpoint, tmp_path)
        hub.status = 503
        assert resolve_output(endpoint, tmp_path) == first
    assert resolve_output(endpoint, tmp_path) == first
    assert (tmp_path / "home" / "hub").is_dir()
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_or_failing_hub_is_retryable(tmp_path: Path, status: int) -> None:
    hub = Hub({})
    hub.status = status
    with serving(hub) as endpoint:
        assert resolve_output(endpoint, tmp_path).startswith(
            "RetryableError model owner/model (revision main): the hub is busy"
        )


@pytest.mark.parametrize("status", [401, 403, 404])
def test_an_inaccessible_model_is_an_input_error(tmp_path: Path, status: int) -> None:
    hub = Hub({})
    hub.status = status
    with serving(hub) as endpoint:
        output = resolve_output(endpoint, tmp_path)
    assert output.startswith("InputError model owner/model (revision main): the hub denies access")
    assert "set HF_TOKEN" in output


def test_an_unreachable_hub_is_retryable(tmp_path: Path) -> None:
    output = resolve_output(f"http://127.0.0.1:{free_port()}", tmp_path)
    assert output.startswith("RetryableError model owner/model: the hub cannot be reached")
    assert "HF_ENDPOINT" in output


def test_an_interrupted_transfer_is_retryable(tmp_path: Path) -> None:
    hub = Hub(dict.fromkeys(REQUIRED, b"{}"))
    hub.cut = True
    with serving(hub) as endpoint:
        assert resolve_output(endpoint, tmp_path).startswith(
            "RetryableError model owner/model: the hub cannot be reached, or"
        )


def test_an_html_page_instead_of_the_hub_is_an_input_error(tmp_path: Path) -> None:
    hub = Hub({})
    hub.answer = lambda path: (200, b"<html>Log in to the network</html>")  # type: ignore[method-assign]
    with serving(hub) as endpoint:
        assert "the server is not a model hub" in resolve_output(endpoint, tmp_path)


def test_offline_mode_without_the_model_is_an_input_error(tmp_path: Path) -> None:
    output = resolve_output("http://127.0.0.1:9", tmp_path, HF_HUB_OFFLINE="1")
    assert output.startswith("InputError model owner/model: not in the local cache, and HF_HUB_OFFLINE is set")


def test_a_full_disk_is_retryable(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    rights = [] if os.geteuid() == 0 else ["--map-root-user"]
    isolated = ("unshare", *rights, "--mount", "sh", "-c")
    mount = f"mount -t tmpfs -o size=1m tmpfs '{tmp_path / 'home'}'"
    if subprocess.run([*isolated, mount], capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root or user namespaces")
    with serving(Hub({"config.json": b"{}", "model.safetensors": bytes(4 << 20)})) as endpoint:
        output = resolve_output(endpoint, tmp_path, (*isolated, f'{mount} && exec "$0" "$@"'))
    assert output.startswith("RetryableError cannot write")
    assert "the disk is full" in output
