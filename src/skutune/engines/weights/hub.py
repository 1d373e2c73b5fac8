"""Downloads models from the Hugging Face hub and translates the client's errors.

Downloads stay in the hub client's cache (`HF_HOME`), which all programs of a user share. A second call only requests
the commit of the revision, and an unreachable hub is an error only if the model is not in the cache.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from skutune.config.schema import ModelConfig
from skutune.errors import InputError, RetryableError, SkutuneError
from skutune.store.atomic_files import translate_os_errors

_CONFIG_FILES = ("*.json", "*.jinja", "*.model", "*.tiktoken", "vocab.txt", "merges.txt")
"""Config, tokenizer, chat template and the modules of a sentence encoder."""

_SAFE_WEIGHTS = ("*.safetensors",)
_PICKLED_WEIGHTS = ("*pytorch_model*.bin",)

_DUPLICATE_WEIGHTS = ("original/*", "consolidated*", "onnx/*", "openvino/*")
"""Copies of the weights for other programs, which the patterns above would match."""

_RETRYABLE_STATUSES = {408, 429}


def download(model: ModelConfig) -> Path:
    """Download a hub model and return the folder of its snapshot, which is named by the commit.

    Includes the files that transformers and sentence-transformers read: safetensors weights (pickled weights only if
    there are no others), config, tokenizer and chat template.

    Raises:
        InputError: the model or revision does not exist or is not accessible, or the cache cannot be written.
        RetryableError: the hub is unreachable or busy, or the disk is full.
    """
    with _translate_hub_errors(model):
        folder = _snapshot(model, model.revision, _SAFE_WEIGHTS)
        if not any(folder.glob("*.safetensors")):
            folder = _snapshot(model, folder.name, _PICKLED_WEIGHTS)
    return folder


def files(model: ModelConfig) -> dict[str, int]:
    """List the files that `download` would download, with their sizes in bytes.

    Raises:
        InputError, RetryableError: as `download`, also if the model has no config.json.
    """
    with _translate_hub_errors(model):
        from huggingface_hub import HfApi, RepoFile

        entries = HfApi().list_repo_tree(model.name, revision=model.revision, recursive=True)
        sizes = {entry.path: entry.size for entry in entries if isinstance(entry, RepoFile)}
    selected = _filter_files(sizes, _SAFE_WEIGHTS)
    if not any(name.endswith(".safetensors") and "/" not in name for name in selected):
        selected = _filter_files(sizes, _PICKLED_WEIGHTS)
    if "config.json" not in selected:
        raise InputError(f"model {model.name} (revision {model.revision}): has no config.json; use another model")
    return selected


def fetch(model: ModelConfig, name: str, folder: Path) -> Path:
    """Download one file of a hub model to a folder.

    Raises:
        InputError, RetryableError: as `download`.
    """
    with _translate_hub_errors(model):
        from huggingface_hub import hf_hub_download

        return Path(hf_hub_download(model.name, name, revision=model.revision, local_dir=folder))


def identity(name: str, commit: str) -> str:
    """The identity of a hub model in keys and fingerprints."""
    return f"{name}@{commit}"


def _filter_files(sizes: dict[str, int], weights: tuple[str, ...]) -> dict[str, int]:
    from huggingface_hub.utils import filter_repo_objects  # type: ignore[attr-defined]

    allowed, ignored = [*_CONFIG_FILES, *weights], [*_DUPLICATE_WEIGHTS]
    names = filter_repo_objects(sorted(sizes), allow_patterns=allowed, ignore_patterns=ignored)
    return {name: sizes[name] for name in names}


def _snapshot(model: ModelConfig, revision: str | None, weights: tuple[str, ...]) -> Path:
    from huggingface_hub import snapshot_download

    allowed, ignored = [*_CONFIG_FILES, *weights], [*_DUPLICATE_WEIGHTS]
    return Path(snapshot_download(model.name, revision=revision, allow_patterns=allowed, ignore_patterns=ignored))


@contextmanager
def _translate_hub_errors(model: ModelConfig) -> Iterator[None]:
    """Translate errors of the hub client to InputError or RetryableError."""
    try:
        from huggingface_hub import constants
        from huggingface_hub.errors import (
            FileMetadataError,
            HfHubHTTPError,
            HFValidationError,
            LocalEntryNotFoundError,
        )

        # The base class of transport errors, whose package differs between versions of the client.
        from huggingface_hub.errors import HTTPError as TransportError  # type: ignore[attr-defined]
    except ImportError as error:
        raise InputError(
            f"model {model.name}: a hub model needs the package huggingface_hub: run `pip install 'skutune[hub]'`"
        ) from error
    # The outer block: some of the client's errors, which are more specific, are OSErrors too.
    with translate_os_errors("write", Path(constants.HF_HUB_CACHE)):
        try:
            yield
        except HFValidationError as error:
            raise InputError(
                f"model {model.name}: neither a folder (./… or /…), s3://… nor a hub name: {error}"
            ) from error
        except LocalEntryNotFoundError as error:
            raise _cache_error(model, error) from error
        except HfHubHTTPError as error:
            raise _access_error(model, error) from error
        except json.JSONDecodeError as error:
            raise InputError(
                f"model {model.name}: the server is not a model hub (no JSON: {error}); check HF_ENDPOINT and the proxy"
            ) from error
        # The accelerated transfer of large files raises RuntimeError for all failures.
        except (TransportError, FileMetadataError, ConnectionError, RuntimeError) as error:
            raise _transfer_error(model, error) from error


def _cache_error(model: ModelConfig, error: Exception) -> SkutuneError:
    """Translate the error for a model that is neither in the cache nor downloadable; its cause decides the class."""
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    cause = error.__cause__
    if isinstance(cause, HfHubHTTPError):
        return _access_error(model, cause)
    if cause is None or isinstance(cause, OfflineModeIsEnabled):
        return InputError(
            f"model {model.name}: not in the local cache, and HF_HUB_OFFLINE is set; unset it, "
            "set HF_HOME to a filled cache, or use a local folder or an s3:// prefix"
        )
    return _transfer_error(model, cause)


def _access_error(model: ModelConfig, error: Exception) -> SkutuneError:
    response = getattr(error, "response", None)
    status = 0 if response is None else response.status_code
    subject = f"model {model.name} (revision {model.revision or 'main'}): the hub"
    if status >= 500 or status in _RETRYABLE_STATUSES:
        return RetryableError(f"{subject} is busy or failing (status {status}): {error}; retry later")
    return InputError(
        f"{subject} denies access: {error}; check name and revision, accept the model's licence, and set HF_TOKEN for "
        "a gated model"
    )


def _transfer_error(model: ModelConfig, error: BaseException) -> RetryableError:
    return RetryableError(
        f"model {model.name}: the hub cannot be reached, or the transfer was interrupted "
        f"({type(error).__name__}: {error}); check the network and HF_ENDPOINT and retry, set HF_HOME to a filled "
        "cache, or use a local folder or an s3:// prefix"
    )
