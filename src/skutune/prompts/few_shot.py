"""A prompt's fixed beginning: instruction and worked examples, the same for every item of a stage.

Examples come as turns of the chat, because a small model imitates a turn where it would only quote an example in the
text. As the beginning never changes, an engine reads it once and keeps it.
"""

from __future__ import annotations

from collections.abc import Sequence

from skutune.prompts.chat_template import Messages


def chat(system: str, examples: Sequence[tuple[str, str]], user: str) -> Messages:
    """System message, (question, answer) turns, and the question that is asked."""
    turns = [{"role": "system", "content": system}]
    for asked, answered in examples:
        turns += [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
    return (*turns, {"role": "user", "content": user})
