"""The tokenizer of a base model, and the tokens of its prompts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from skutune.chat_template import DEFAULT_TEMPLATE, TEMPLATE_SETTINGS
from skutune.errors import InputError

IGNORED = -100
"""The label of a token that carries no loss."""


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a model folder, with a chat template and a pad token.

    Without a chat template it gets `DEFAULT_TEMPLATE`. Without a pad token the end token pads: attention mask and
    labels leave padding out whatever it is.

    Raises:
        InputError: there is no readable tokenizer, or it has no end token.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"base model {folder}: its tokenizer cannot be read: {error}") from error
    if tokenizer.eos_token is None:
        raise InputError(f"base model {folder}: its tokenizer has no end token, so no answer could end; name another")
    if not tokenizer.chat_template:
        tokenizer.chat_template = DEFAULT_TEMPLATE
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def fitting_length(folder: Path, max_length: int) -> int:
    """The longest example, in tokens, that is asked for and that the model of a folder was made for."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    return min(max_length, getattr(config, "max_position_embeddings", None) or max_length)


def prompt_tokens(tokenizer: Any, messages: Sequence[dict[str, str]]) -> list[int]:
    """Token ids of a prompt, ending where the assistant begins to speak."""
    ids: list[int] = tokenizer.apply_chat_template(
        list(messages), add_generation_prompt=True, return_dict=True, **TEMPLATE_SETTINGS
    )["input_ids"]
    return ids
