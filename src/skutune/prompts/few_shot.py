"""Few-shot prompts: a system message and examples as a fixed prefix, shared by all items of a stage.

Examples are chat turns, because a small model imitates turns but tends to quote examples given within a message. The
prefix never changes, so an engine can cache it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from skutune.prompts.chat_template import Messages


def chat(system: str, examples: Sequence[tuple[str, str]], user: str) -> Messages:
    """The system message, the examples as (user, assistant) turns, and the user message."""
    return (*_prefix(system, tuple(examples)), {"role": "user", "content": user})


@cache
def _prefix(system: str, examples: tuple[tuple[str, str], ...]) -> Messages:
    """Cached, so that all prompts of a part, which are in memory together, share one copy."""
    turns = [{"role": "system", "content": system}]
    for request, response in examples:
        turns += [{"role": "user", "content": request}, {"role": "assistant", "content": response}]
    return tuple(turns)
