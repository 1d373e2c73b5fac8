"""The tokenizer of a base model, and the tokens of its prompts."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from skutune.engines.chat import load_chat_tokenizer
from skutune.errors import InputError
from skutune.prompts.chat_template import TEMPLATE_SETTINGS

_log = logging.getLogger(__name__)
IGNORED = -100
"""The label of a token that carries no loss."""


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a base model or an adapter, prepared for chats; `DEFAULT_TEMPLATE` if it has no chat template.

    Attention mask and labels leave padding out, whatever its token.

    Raises:
        InputError: as `load_chat_tokenizer`.
    """
    return load_chat_tokenizer(folder, is_base=True)


def fitting_length(folder: Path, max_length: int) -> int:
    """The smaller of `max_length` and the context of the model in a folder, in tokens.

    Raises:
        InputError: the model's config cannot be read, or is of a kind that transformers do not know.
    """
    context = context_of(folder) or max_length
    if max_length > context:
        _log.warning(
            "stages.finetune.max_length: %d exceeds the base model's context of %d tokens, so no example "
            "has more than these",
            *(max_length, context),
        )
    return min(max_length, context)


def context_of(folder: Path) -> int | None:
    """The context length of the model in a folder, in tokens; None if its config does not state it.

    Raises:
        InputError: the config cannot be read, or is of a kind that transformers do not know.
    """
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"base model {folder}: its config cannot be read: {error}") from error
    return getattr(config, "max_position_embeddings", None) or None


def prompt_tokens(tokenizer: Any, messages: Sequence[dict[str, str]]) -> list[int]:
    """Token ids of a prompt, ending where the assistant begins to speak."""
    ids: list[int] = tokenizer.apply_chat_template(
        list(messages), add_generation_prompt=True, return_dict=True, **TEMPLATE_SETTINGS
    )["input_ids"]
    return ids
