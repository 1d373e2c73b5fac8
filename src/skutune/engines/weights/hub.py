"""Models of the Hugging Face hub: which files are downloaded, and whose errors failures are.

What is downloaded stays in the hub client's own cache (`HF_HOME`), which every program of this user shares; a second
call asks the hub for the commit of the revision only, and a hub that does not answer matters only where the cache
does not hold the model.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from skutune.config.schema import ModelConfig
from skutune.errors import InputError, RetryableError, SkutuneError
from skutune.store.atomic_files import translate_os_errors

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
    with _translate_hub_errors(model):
        folder = _snapshot(model, model.revision, _SAFE_WEIGHTS)
        if not any(folder.glob("*.safetensors")):
            folder = _snapshot(model, folder.name, _OLD_WEIGHTS)
    return folder


def files(model: ModelConfig) -> dict[str, int]:
    """The files of a hub model that `download` takes, with their sizes in bytes. Nothing is downloaded.

    Raises:
        InputError, RetryableError: as `download`; also where the model holds no config.json.
    """
    with _translate_hub_errors(model):
        from huggingface_hub import HfApi, RepoFile

        listed = HfApi().list_repo_tree(model.name, revision=model.revision, recursive=True)
        sizes = {entry.path: entry.size for entry in listed if isinstance(entry, RepoFile)}
    wanted = _wanted(sizes, _SAFE_WEIGHTS)
    if not any(name.endswith(".safetensors") and "/" not in name for name in wanted):
        wanted = _wanted(sizes, _OLD_WEIGHTS)
    if "config.json" not in wanted:
        raise InputError(f"model {model.name} (revision {model.revision}): has no config.json; use another model")
    return wanted


def fetch(model: ModelConfig, name: str, folder: Path) -> Path:
    """One file of a hub model, downloaded into a folder.

    Raises:
        InputError, RetryableError: as `download`.
    """
    with _translate_hub_errors(model):
        from huggingface_hub import hf_hub_download

        return Path(hf_hub_download(model.name, name, revision=model.revision, local_dir=folder))


def identity(name: str, commit: str) -> str:
    """The identity of a hub model in keys and fingerprints."""
    return f"{name}@{commit}"


def _wanted(sizes: dict[str, int], weights: tuple[str, ...]) -> dict[str, int]:
    from huggingface_hub.utils import filter_repo_objects  # type: ignore[attr-defined]

    allowed, ignored = [*_BESIDE_WEIGHTS, *weights], [*_SAME_WEIGHTS_AGAIN]
    kept = filter_repo_objects(sorted(sizes), allow_patterns=allowed, ignore_patterns=ignored)
    return {name: sizes[name] for name in kept}


def _snapshot(model: ModelConfig, revision: str | None, weights: tuple[str, ...]) -> Path:
    from huggingface_hub import snapshot_download

    allowed, ignored = [*_BESIDE_WEIGHTS, *weights], [*_SAME_WEIGHTS_AGAIN]
    return Path(snapshot_download(model.name, revision=revision, allow_patterns=allowed, ignore_patterns=ignored))


@contextmanager
def _translate_hub_errors(model: ModelConfig) -> Iterator[None]:
    """Raise whatever the hub's client raises as an error that says who must act."""
    try:
        from huggingface_hub import constants
        from huggingface_hub.errors import (
            FileMetadataError,
            HfHubHTTPError,
            HFValidationError,
            LocalEntryNotFoundError,
        )

        # The base of all errors of the client's transport, whose package differs between the versions of the client.
        from huggingface_hub.errors import HTTPError as TransportError  # type: ignore[attr-defined]
    except ImportError as error:
        raise InputError(
            f"model {model.name}: a hub model needs the package huggingface_hub: run `pip install 'skutune[hub]'`"
        ) from error
    # Outside: the client's own errors, which say more, are errors of the operating system, too.
    with translate_os_errors("write", Path(constants.HF_HUB_CACHE)):
        try:
            yield
        except HFValidationError as error:
            raise InputError(
                f"model {model.name}: neither a folder (./… or /…), s3://… nor a hub name: {error}"
            ) from error
        except LocalEntryNotFoundError as error:
            raise _not_cached(model, error) from error
        except HfHubHTTPError as error:
            raise _refused(model, error) from error
        except json.JSONDecodeError as error:
            raise InputError(
                f"model {model.name}: the server is not a model hub (no JSON: {error}); check HF_ENDPOINT and the proxy"
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
            f"model {model.name}: is not in the local cache, and HF_HUB_OFFLINE is set; unset it, "
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
