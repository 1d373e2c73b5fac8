"""The tuned model's prompt: the same messages in training, evaluation and `skutune ask`."""

from __future__ import annotations

from skutune.prompts.chat_template import Messages


def question_messages(question: str) -> Messages:
    """A single user message with just the question."""
    return ({"role": "user", "content": question},)
