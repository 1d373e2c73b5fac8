"""Chat messages to prompt tokens, and generated tokens to text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from skutune.errors import InputError
from skutune.prompts.chat_template import TEMPLATE_SETTINGS, Messages


class ChatTokens:
    """A chat model's tokenizer.

    Raises:
        InputError: the folder's tokenizer cannot be read or has no chat template.
    """

    def __init__(self, folder: Path) -> None:
        from transformers import AutoTokenizer

        try:
            self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"model {folder}: its tokenizer cannot be read: {error}") from error
        if not self.tokenizer.chat_template:
            raise InputError(f"model {folder}: has no chat template; use an instruct or chat model")
        self.folder = folder

    def encode(self, messages: Messages) -> list[int]:
        """The prompt's tokens, up to the start of the assistant's turn. Raises InputError for a refused role."""
        from jinja2 import TemplateError

        try:
            encoded = self.tokenizer.apply_chat_template(
                list(messages), add_generation_prompt=True, return_dict=True, **TEMPLATE_SETTINGS
            )
        except TemplateError as error:
            raise InputError(f"model {self.folder}: its chat template refuses the messages: {error}") from error
        tokens: list[int] = encoded["input_ids"]
        return tokens

    def decode(self, tokens: list[int]) -> str:
        """The text of generated tokens, without special tokens, and without a character that was cut in its middle."""
        text: str = self.tokenizer.decode(tokens, skip_special_tokens=True)
        return text.rstrip("\ufffd").strip()


def stop_tokens(tokenizer: Any, generation_config: Any) -> frozenset[int]:
    """The tokens that end a turn: those of the generation config (one, several or none) and the tokenizer's own."""
    configured = getattr(generation_config, "eos_token_id", None)
    several = configured if isinstance(configured, list) else [configured]
    return frozenset(token for token in [*several, tokenizer.eos_token_id] if token is not None)
