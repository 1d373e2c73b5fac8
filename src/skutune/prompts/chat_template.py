"""Chat-template settings, shared by generation, training and serving: a tuned model sees the prompts it knows."""

from __future__ import annotations

Messages = tuple[dict[str, str], ...]
"""A chat: `({"role": "system" | "user" | "assistant", "content": …}, …)`."""

# By default, Llama 3 templates put today's date into every prompt and Qwen 3 templates turn thinking on. The first
# makes identical requests differ from day to day, the second spends tokens that nobody reads.
TEMPLATE_SETTINGS = {"date_string": "01 Jan 2025", "enable_thinking": False}
_SETTINGS_PREFIX = "".join(f"{{% set {name} = {value!r} %}}" for name, value in TEMPLATE_SETTINGS.items())

DEFAULT_TEMPLATE = (
    "{% if bos_token is defined and bos_token %}{{ bos_token }}{% endif %}"
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}### Answer:\n{{ message['content'] }}{{ eos_token }}"
    "{% if not loop.last %}\n{% endif %}"
    "{% elif message['role'] == 'user' %}### Question:\n{{ message['content'] }}\n\n"
    "{% else %}{{ message['content'] }}\n\n{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}### Answer:\n{% endif %}"
)
"""For base models without a chat template: plain headings, and the model's own BOS and EOS tokens."""


def with_settings(template: str) -> str:
    """The template with these settings built in, because servers of a tuned model pass no settings. Idempotent."""
    return template if template.startswith(_SETTINGS_PREFIX) else _SETTINGS_PREFIX + template
