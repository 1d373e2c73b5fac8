"""How a chat becomes one text: the same in generation, training and asking, or a model meets what it never saw."""

from __future__ import annotations

Messages = tuple[dict[str, str], ...]
"""A chat: `({"role": "system" | "user" | "assistant", "content": …}, …)`."""

# Templates of the Llama 3 family write today's date into every prompt and those of Qwen 3 open a monologue, unless told
# otherwise. Both would make equal requests unequal, or cost tokens that nobody reads.
TEMPLATE_SETTINGS = {"date_string": "01 Jan 2025", "enable_thinking": False}
_SETTLED = "".join(f"{{% set {name} = {value!r} %}}" for name, value in TEMPLATE_SETTINGS.items())

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
"""For a base model without chat template: plain headings, and begin and end tokens that the model knows."""


def settled(template: str) -> str:
    """A template that is given these settings by itself: whoever serves a tuned model passes it nothing."""
    return template if template.startswith(_SETTLED) else _SETTLED + template
