"""Tokenizers of all chat families are used alike: one template, system messages, the end of a turn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from skutune.errors import InputError
from skutune.prompts.chat_template import DEFAULT_TEMPLATE, TEMPLATE_SETTINGS, with_settings
from skutune.prompts.chat_tokenizer import check_embeddings, prepare_chat_tokenizer
from tests.chat_families import FAMILIES, Family

SYSTEM, USER, ASSISTANT = (
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What goes with rice?"},
    {"role": "assistant", "content": "Beans."},
)


def prepared(name: str) -> Any:
    return prepare_chat_tokenizer(FAMILIES[name].tokenizer(), name, is_base=True)


def rendered(tokenizer: Any, *messages: dict[str, str], generation: bool = True) -> str:
    text: str = tokenizer.apply_chat_template(
        list(messages), tokenize=False, add_generation_prompt=generation, **TEMPLATE_SETTINGS
    )
    return text


@pytest.mark.parametrize("name", FAMILIES)
def test_a_system_message_reaches_the_model(name: str) -> None:
    text = rendered(prepared(name), SYSTEM, USER, ASSISTANT, USER)
    assert text.count("Be brief.") == 1
    assert text.index("Be brief.") < text.index("What goes with rice?") < text.index("Beans.")


@pytest.mark.parametrize("name", FAMILIES)
def test_the_end_token_is_the_one_behind_an_assistant_message(name: str) -> None:
    tokenizer = prepared(name)
    assert tokenizer.eos_token == FAMILIES[name].turn_end
    answered = rendered(tokenizer, USER, ASSISTANT, generation=False)
    behind = tokenizer(answered.partition("Beans.")[2], add_special_tokens=False)["input_ids"]
    assert tokenizer.eos_token_id in behind
    assert tokenizer.pad_token_id is not None


@pytest.mark.parametrize("name", FAMILIES)
def test_a_chat_without_system_message_is_rendered_as_before(name: str) -> None:
    original = FAMILIES[name].tokenizer()
    if isinstance(original.chat_template, dict):
        original.chat_template = original.chat_template["default"]
    original.chat_template = original.chat_template or DEFAULT_TEMPLATE
    expected = rendered(original, USER, ASSISTANT, USER)
    assert rendered(prepared(name), USER, ASSISTANT, USER) == expected


@pytest.mark.parametrize("name", FAMILIES)
def test_a_saved_tokenizer_needs_no_preparation_and_stays_as_it_is(name: str, tmp_path: Path) -> None:
    tokenizer = prepared(name)
    tokenizer.chat_template = with_settings(tokenizer.chat_template)
    tokenizer.save_pretrained(tmp_path)
    saved = AutoTokenizer.from_pretrained(tmp_path)
    text = rendered(saved, SYSTEM, USER)
    template, end = saved.chat_template, saved.eos_token
    prepare_chat_tokenizer(saved, name, is_base=True)
    assert (saved.chat_template, saved.eos_token) == (template, end)
    assert rendered(saved, SYSTEM, USER) == text


def test_a_system_message_alone_becomes_a_user_message() -> None:
    assert "Be brief." in rendered(prepared("Gemma"), SYSTEM)


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ({"tool_use": "x", "rag": "y"}, "has the chat templates tool_use, rag, but none named default"),
        (
            "{% for message in messages %}{{ message.content }}\n{% endfor %}",
            "no special token, so no answer would end",
        ),
        ("{{ messages[0].content }}<s>", "does not render the assistant's messages"),
        ("{{ raise_exception('no chats') }}", "refuses a chat of user and assistant: no chats"),
    ],
)
def test_a_template_that_cannot_be_used_is_refused(template: Any, reason: str) -> None:
    tokenizer = Family(("<s>",), "<s>", "<s>", template).tokenizer()
    with pytest.raises(InputError, match=f"model a/b: .*{reason}"):
        prepare_chat_tokenizer(tokenizer, "a/b", is_base=True)


def test_the_default_template_needs_an_end_token() -> None:
    tokenizer = FAMILIES["GPT-2"].tokenizer()
    tokenizer.eos_token = None
    with pytest.raises(InputError, match="no end-of-sequence token"):
        prepare_chat_tokenizer(tokenizer, "a/b", is_base=True)


def test_a_generator_needs_a_chat_template() -> None:
    with pytest.raises(InputError, match="model a/b: has no chat template"):
        prepare_chat_tokenizer(FAMILIES["GPT-2"].tokenizer(), "a/b", is_base=False)


def test_a_generator_without_an_end_of_turn_stops_at_the_end_of_a_text() -> None:
    template = "{% for message in messages %}{{ message.content }}\n{% endfor %}"
    tokenizer = Family(("<s>",), "<s>", "<s>", template).tokenizer()
    assert prepare_chat_tokenizer(tokenizer, "a/b", is_base=False).eos_token == "<s>"


def test_tokens_without_an_embedding_are_refused() -> None:
    tokenizer = FAMILIES["Phi"].tokenizer()
    for size in (None, len(tokenizer), len(tokenizer) + 100):
        check_embeddings(tokenizer, size, "a/b")
    with pytest.raises(InputError, match="has 261 tokens, but the model has embeddings for 260"):
        check_embeddings(tokenizer, 260, "a/b")
