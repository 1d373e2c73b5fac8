"""What a model's name says: a hub name, a local folder or an `s3://` prefix."""

from __future__ import annotations

import re
from collections.abc import Collection

from skutune.config.schema import Config, ModelConfig
from skutune.errors import InputError, Problem

_COMMIT = re.compile(r"[0-9a-f]{40}")


def is_scripted(model: ModelConfig) -> bool:
    """Whether no weights are needed at all."""
    return getattr(model, "engine", None) == "scripted"


def is_prefix(name: str) -> bool:
    """Whether the weights lie in an S3 bucket."""
    return name.startswith("s3://")


def is_folder(name: str) -> bool:
    """Whether the name is a local path. A hub name is `owner/name` and starts with none of `.`, `/` and `~`."""
    return name.startswith((".", "/", "~"))


def is_hub(name: str) -> bool:
    """Whether the weights lie on the model hub."""
    return not is_prefix(name) and not is_folder(name)


def check_pinned(config: Config, roles: Collection[str]) -> None:
    """Refuse hub models without a commit: pods that start at different times must not get different weights.

    Args:
        roles: those whose models are used.

    Raises:
        InputError: names every model that has none.
    """
    problems = [
        Problem(
            f"models.{role}.revision",
            f"{model.name} needs the whole commit (40 hexadecimal digits) on a cluster, it is {model.revision!r}; the "
            "hub shows it in the model's history of commits",
        )
        for role, model in config.models
        if role in roles
        and model is not None
        and is_hub(model.name)
        and not is_scripted(model)
        and not _COMMIT.fullmatch(model.revision or "")
    ]
    if problems:
        raise InputError("models of the hub must be pinned on a cluster", problems)
