"""What the tuned model is asked: the same messages in training, evaluation and `skutune ask`."""

from __future__ import annotations

from skutune.prompts.chat_template import Messages


def question_messages(question: str) -> Messages:
    """One user message that holds the question and nothing else."""
    return ({"role": "user", "content": question},)
