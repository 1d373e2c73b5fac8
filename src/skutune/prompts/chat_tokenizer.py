"""A chat model's tokenizer in the one form that generation, training, decoding and servers use.

Models differ in what they state about chats: several named templates (Command-R), a template without a system role
(Gemma 2), a turn that ends with another token than a text (base models with a ChatML template, such as Qwen 2.5). Here
the tokenizer is changed, so that all users see the same and a saved tokenizer keeps it:

- `chat_template` is one template, the default one.
- A template that refuses or drops system messages prepends them to the first user message.
- `eos_token` is the token that ends the assistant's turn. The end of a text that the model's generation config states
  remains a stop token beside it.
- Without a pad token, the end token pads.
"""

from __future__ import annotations

from typing import Any

from skutune.errors import InputError
from skutune.prompts.chat_template import DEFAULT_TEMPLATE, TEMPLATE_SETTINGS

_SYSTEM, _USER, _ANSWER = "Zsystemz", "Zuserz", "Zanswerz"

_PREPEND_SYSTEM = (
    "{% if messages and messages[0]['role'] == 'system' %}{% set messages = [{'role': 'user', 'content': "
    "messages[0]['content'] + '\\n\\n' + (messages[1]['content'] if messages | length > 1 else '')}] + messages[2:] %}"
    "{% endif %}"
)


def prepare_chat_tokenizer(tokenizer: Any, model: str, *, is_base: bool) -> Any:
    """Change a transformers tokenizer to the form described above, and return it. Idempotent.

    Args:
        model: names the model in errors.
        is_base: the model is fine-tuned, or was. Without a chat template it gets `DEFAULT_TEMPLATE`; a template whose
            assistant's turn ends without a special token teaches answers without an end and is refused.

    Raises:
        InputError: there is no chat template or no default one, it refuses a chat of user and assistant messages, or no
            special token ends an answer.
    """
    tokenizer.chat_template = _template(tokenizer, model, is_base)
    if not _has_system_role(tokenizer):
        tokenizer.chat_template = _PREPEND_SYSTEM + tokenizer.chat_template
    tokenizer.eos_token = _turn_end(tokenizer, model, is_base)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def check_embeddings(tokenizer: Any, vocabulary: int | None, model: str) -> None:
    """Raise InputError if the tokenizer has tokens without an embedding; `vocabulary` is the number of embeddings."""
    if vocabulary is not None and len(tokenizer) > vocabulary:
        raise InputError(
            f"model {model}: its tokenizer has {len(tokenizer):,} tokens, but the model has embeddings for "
            f"{vocabulary:,}; resize the embeddings (resize_token_embeddings) and save the model again"
        )


def _template(tokenizer: Any, model: str, is_base: bool) -> str:
    template = tokenizer.chat_template
    if isinstance(template, dict):
        if "default" not in template:
            raise InputError(f"model {model}: has the chat templates {', '.join(template)}, but none named default")
        template = template["default"]
    if template:
        return str(template)
    if not is_base:
        raise InputError(f"model {model}: has no chat template; use an instruct or chat model")
    if tokenizer.eos_token is None:
        raise InputError(f"model {model}: its tokenizer has no end-of-sequence token, so no answer would end")
    return DEFAULT_TEMPLATE


def _has_system_role(tokenizer: Any) -> bool:
    from jinja2 import TemplateError

    try:
        text = _render(tokenizer, [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": _USER}])
    except TemplateError:
        return False
    return _SYSTEM in text


def _turn_end(tokenizer: Any, model: str, is_base: bool) -> str:
    """The first special token behind an assistant message; without one, of a generator the end of a text."""
    from jinja2 import TemplateError

    chat = [{"role": "user", "content": _USER}, {"role": "assistant", "content": _ANSWER}]
    try:
        text = _render(tokenizer, [*chat, *chat])
    except TemplateError as error:
        raise InputError(f"model {model}: its chat template refuses a chat of user and assistant: {error}") from error
    if text.count(_ANSWER) != 2:
        raise InputError(f"model {model}: its chat template does not render the assistant's messages")
    behind = text.rpartition(_ANSWER)[2]
    special = set(tokenizer.added_tokens_decoder) | set(tokenizer.all_special_ids)
    for token in tokenizer(behind, add_special_tokens=False)["input_ids"]:
        if token in special:
            return str(tokenizer.convert_ids_to_tokens(token))
    if not is_base and tokenizer.eos_token is not None:
        return str(tokenizer.eos_token)
    raise InputError(
        f"model {model}: its chat template ends the assistant's turn with {behind[:40]!r}, which has no special token, "
        "so no answer would end; use a template that ends it with the end-of-sequence token"
    )


def _render(tokenizer: Any, messages: list[dict[str, str]]) -> str:
    text: str = tokenizer.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=messages[-1]["role"] == "user", **TEMPLATE_SETTINGS
    )
    return text
