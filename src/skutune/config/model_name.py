"""The kinds of model names: a hub name, a local folder or an `s3://` prefix."""

from __future__ import annotations

import re
from collections.abc import Collection

from skutune.config.schema import Config, ModelConfig
from skutune.errors import InputError, Problem

_COMMIT = re.compile(r"[0-9a-f]{40}")


def is_scripted(model: ModelConfig) -> bool:
    """Whether the model needs no weights."""
    return getattr(model, "engine", None) == "scripted"


def is_none(model: ModelConfig) -> bool:
    """Whether the config names no model, for runs that do not use this role."""
    return model.name == "none" and not is_scripted(model)


def is_prefix(name: str) -> bool:
    """Whether the weights are in an S3 bucket."""
    return name.startswith("s3://")


def is_folder(name: str) -> bool:
    """Whether the name is a local path. A hub name is `owner/name` and starts with none of `.`, `/` and `~`."""
    return name.startswith((".", "/", "~"))


def is_hub(name: str) -> bool:
    """Whether the weights are on the model hub."""
    return not is_prefix(name) and not is_folder(name)


def check_pinned(config: Config, roles: Collection[str]) -> None:
    """Reject unpinned hub models, because pods that start at different times must get the same weights.

    Args:
        roles: the roles in use.

    Raises:
        InputError: lists all unpinned models.
    """
    problems = [
        Problem(f"models.{role}.name", "is none, but a stage of this run needs it; name a model")
        for role, model in config.models
        if role in roles and model is not None and is_none(model)
    ]
    problems += [
        Problem(
            f"models.{role}.revision",
            f"{model.name} must be pinned to a full commit hash (40 hex digits), not {model.revision!r}; "
            "copy it from the model's commit history on the hub",
        )
        for role, model in config.models
        if role in roles
        and model is not None
        and is_hub(model.name)
        and not is_none(model)
        and not is_scripted(model)
        and not _COMMIT.fullmatch(model.revision or "")
    ]
    if problems:
        raise InputError("hub models must be pinned on a cluster", problems)
