"""Encodes chat messages to prompt tokens and decodes generated tokens to text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from skutune.errors import InputError
from skutune.prompts.chat_template import TEMPLATE_SETTINGS, Messages
from skutune.prompts.chat_tokenizer import check_embeddings, prepare_chat_tokenizer


def load_chat_tokenizer(folder: Path, *, is_base: bool) -> Any:
    """The tokenizer of a model folder, prepared for chats (see `prompts.chat_tokenizer`).

    Args:
        folder: of a model, or of an adapter with its tokenizer.
        is_base: the model is fine-tuned, or was; see `prepare_chat_tokenizer`.

    Raises:
        InputError: the tokenizer cannot be read, has tokens without an embedding, or cannot be used for chats.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"model {folder}: its tokenizer cannot be read: {error}") from error
    check_embeddings(tokenizer, _embeddings(folder), str(folder))
    return prepare_chat_tokenizer(tokenizer, str(folder), is_base=is_base)


def _embeddings(folder: Path) -> int | None:
    """The number of token embeddings in a model's config; None without a config, as in an adapter's folder."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # an invalid config is reported where the model is loaded
        return None
    size = (config.get("text_config") or config).get("vocab_size")
    return size if isinstance(size, int) else None


class ChatTokens:
    """A chat model's tokenizer.

    Raises:
        InputError: as `load_chat_tokenizer`, also for a model without a chat template.
    """

    def __init__(self, folder: Path) -> None:
        self.tokenizer = load_chat_tokenizer(folder, is_base=False)
        self.folder = folder

    def encode(self, messages: Messages) -> list[int]:
        """The prompt's tokens, up to the start of the assistant's turn. Raises InputError for an unsupported role."""
        from jinja2 import TemplateError

        try:
            encoded = self.tokenizer.apply_chat_template(
                list(messages), add_generation_prompt=True, return_dict=True, **TEMPLATE_SETTINGS
            )
        except TemplateError as error:
            raise InputError(f"model {self.folder}: its chat template rejects the messages: {error}") from error
        tokens: list[int] = encoded["input_ids"]
        return tokens

    def decode(self, tokens: list[int]) -> str:
        """The text of generated tokens, without special tokens and without a truncated last character."""
        text: str = self.tokenizer.decode(tokens, skip_special_tokens=True)
        return text.rstrip("\ufffd").strip()


def stop_tokens(tokenizer: Any, generation_config: Any) -> frozenset[int]:
    """The end-of-turn tokens: those of the generation config (one, several or none) and that of the tokenizer."""
    configured = getattr(generation_config, "eos_token_id", None)
    token_ids = configured if isinstance(configured, list) else [configured]
    return frozenset(token for token in [*token_ids, tokenizer.eos_token_id] if token is not None)
