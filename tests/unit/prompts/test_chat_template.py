"""A template that is served writes the prompts that were trained, though a server passes it nothing."""

from __future__ import annotations

import pytest
from byte_model import byte_tokenizer

from skutune.prompts.asking import question_messages
from skutune.prompts.chat_template import DEFAULT_TEMPLATE, TEMPLATE_SETTINGS, with_settings

MESSAGES = "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
# As the families of Llama 3 and Qwen 3 do.
DATED = (
    "{%- if not date_string is defined %}{%- set date_string = strftime_now('%d %b %Y') %}{%- endif %}"
    "Today: {{ date_string }}\n" + MESSAGES
)
THINKING = MESSAGES + (
    "{% if enable_thinking is defined and enable_thinking is false %}<think></think>{% else %}<think>{% endif %}"
)


@pytest.mark.parametrize("template", [DATED, THINKING, DEFAULT_TEMPLATE])
def test_a_settled_template_needs_no_settings(template: str) -> None:
    tokenizer = byte_tokenizer(template)
    chat = {"conversation": list(question_messages("What goes with rice?")), "tokenize": False}
    trained = tokenizer.apply_chat_template(**chat, add_generation_prompt=True, **TEMPLATE_SETTINGS)
    plain = tokenizer.apply_chat_template(**chat, add_generation_prompt=True)
    tokenizer.chat_template = with_settings(template)
    assert tokenizer.apply_chat_template(**chat, add_generation_prompt=True) == trained
    assert (plain == trained) == (template == DEFAULT_TEMPLATE)


def test_what_is_settled_stays_as_it_is() -> None:
    assert with_settings(with_settings(DATED)) == with_settings(DATED)
