"""Prompts for the prose of an answer: introduction, one paragraph a name, conclusion, and no product of the catalog."""

from __future__ import annotations

from typing import Any

from skutune.engines.base import Messages
from skutune.prompts.recommend import flat_object

SYSTEM = "You advise customers of a store, in plain and friendly sentences. You answer with JSON only."
USER = (
    "Question: {question}\nRecommended: {names}\n\n"
    "Write the answer in parts, each one or two short sentences: introduction: answers the question by naming all that "
    "is recommended; {paragraphs}; conclusion: sums up in one sentence why the choice is a good one."
)


def answer(question: str, names: list[str]) -> Messages:
    """The messages that ask for the parts of an answer that recommends these names."""
    paragraphs = "; ".join(f"paragraph_{number}: why {name} fits" for number, name in enumerate(names, start=1))
    user = USER.format(question=question, names=", ".join(names), paragraphs=paragraphs)
    return ({"role": "system", "content": SYSTEM}, {"role": "user", "content": user})


def slots(count: int) -> list[str]:
    """The keys of the object, in the order in which they are written."""
    return ["introduction", *(f"paragraph_{number}" for number in range(1, count + 1)), "conclusion"]


def schema(count: int) -> dict[str, Any]:
    """An object of the parts of an answer with `count` recommendations."""
    return flat_object(slots(count))
