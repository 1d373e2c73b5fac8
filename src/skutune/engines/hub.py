"""Models of the Hugging Face hub: what of a repository is downloaded, and who must act when that fails.

What is downloaded stays in the hub client's own cache (`HF_HOME`), which every program of this user shares; a second
call asks the hub for the commit of the revision only, and a hub that does not answer matters only where the cache
does not hold the model.
"""

from __future__ import annotations

import json
from pathlib import Path

from skutune.config import ModelConfig
from skutune.errors import InputError, RetryableError, SkutuneError
from skutune.store.files import explained

_BESIDE_WEIGHTS = ("*.json", "*.jinja", "*.model", "*.tiktoken", "vocab.txt", "merges.txt")
"""Config, tokenizer, chat template and the modules of a sentence encoder."""

_SAFE_WEIGHTS = ("*.safetensors",)
_OLD_WEIGHTS = ("*pytorch_model*.bin",)

_SAME_WEIGHTS_AGAIN = ("original/*", "consolidated*", "onnx/*", "openvino/*")
"""Copies of the weights for other programs, under names that the patterns above would take."""

_BUSY = {408, 429}


def download(model: ModelConfig) -> Path:
    """The folder of a hub model's snapshot, named by its commit.

    It holds what transformers and sentence-transformers read: safetensors weights (pickled ones only where there are no
    others), config, tokenizer and chat template.

    Raises:
        InputError: there is no such model or revision, it is not open to this user, or the cache cannot be written.
        RetryableError: the hub is unreachable or busy, or the disk is full.
    """
    try:
        from huggingface_hub import constants
        from huggingface_hub.errors import HFValidationError
    except ImportError as error:
        raise InputError(
            f"model {model.name}: a hub model needs the package huggingface_hub: run `pip install 'skutune[generate]'`"
        ) from error
    try:
        with explained("write", Path(constants.HF_HUB_CACHE)):
            folder = _snapshot(model, model.revision, _SAFE_WEIGHTS)
            if not any(folder.glob("*.safetensors")):
                folder = _snapshot(model, folder.name, _OLD_WEIGHTS)
    except HFValidationError as error:
        raise InputError(f"model {model.name}: neither a folder (./… or /…), s3://… nor a hub name: {error}") from error
    return folder


def _snapshot(model: ModelConfig, revision: str | None, weights: tuple[str, ...]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import FileMetadataError, HfHubHTTPError, LocalEntryNotFoundError

    # The base of all errors of the client's transport, whose package differs between the versions of the client.
    from huggingface_hub.errors import HTTPError as TransportError  # type: ignore[attr-defined]

    allowed = [*_BESIDE_WEIGHTS, *weights]
    try:
        return Path(
            snapshot_download(
                model.name, revision=revision, allow_patterns=allowed, ignore_patterns=[*_SAME_WEIGHTS_AGAIN]
            )
        )
    except LocalEntryNotFoundError as error:
        raise _not_cached(model, error) from error
    except HfHubHTTPError as error:
        raise _refused(model, error) from error
    except json.JSONDecodeError as error:
        raise InputError(
            f"model {model.name}: what answers there is not the hub (no JSON: {error}); check HF_ENDPOINT and the proxy"
        ) from error
    # The accelerated transfer of large files raises RuntimeError for whatever went wrong underway.
    except (TransportError, FileMetadataError, ConnectionError, RuntimeError) as error:
        raise _broken(model, error) from error


def _not_cached(model: ModelConfig, error: Exception) -> SkutuneError:
    """The hub gave nothing and the cache holds nothing: the error behind it says who must act."""
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    cause = error.__cause__
    if isinstance(cause, HfHubHTTPError):
        return _refused(model, cause)
    if cause is None or isinstance(cause, OfflineModeIsEnabled):
        return InputError(
            f"model {model.name}: is not in the local cache, and HF_HUB_OFFLINE forbids to ask the hub; unset it, "
            "set HF_HOME to a filled cache, or name a local folder or an s3:// prefix"
        )
    return _broken(model, cause)


def _refused(model: ModelConfig, error: Exception) -> SkutuneError:
    response = getattr(error, "response", None)
    status = 0 if response is None else response.status_code
    named = f"model {model.name} (revision {model.revision or 'main'}): the hub "
    if status >= 500 or status in _BUSY:
        return RetryableError(f"{named}is busy or failing (status {status}): {error}; try later")
    return InputError(
        f"{named}refuses it: {error}; check name and revision, accept the model's licence, and set HF_TOKEN for a "
        "gated model"
    )


def _broken(model: ModelConfig, error: BaseException) -> RetryableError:
    return RetryableError(
        f"model {model.name}: the hub cannot be reached, or the transfer broke off ({type(error).__name__}: {error}); "
        "check the network and HF_ENDPOINT and run again, set HF_HOME to a filled cache, or name a local folder or an "
        "s3:// prefix"
    )
