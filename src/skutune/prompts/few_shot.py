"""A prompt's fixed beginning: instruction and worked examples, the same for every item of a stage.

Examples come as turns of the chat, because a small model imitates a turn where it would only quote an example in the
text. As the beginning never changes, an engine reads it once and keeps it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from skutune.prompts.chat_template import Messages


def chat(system: str, examples: Sequence[tuple[str, str]], user: str) -> Messages:
    """System message, (question, answer) turns, and the question that is asked."""
    return (*_prefix(system, tuple(examples)), {"role": "user", "content": user})


@cache
def _prefix(system: str, examples: tuple[tuple[str, str], ...]) -> Messages:
    """One copy for all prompts of a stage: a part's prompts are in memory together."""
    turns = [{"role": "system", "content": system}]
    for question, answer in examples:
        turns += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return tuple(turns)
