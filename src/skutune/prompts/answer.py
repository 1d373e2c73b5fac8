"""Prompt for the prose of an answer: introduction, one paragraph for each name, conclusion; no catalog products."""

from __future__ import annotations

import json
from typing import Any

from skutune.prompts.chat_template import Messages
from skutune.prompts.few_shot import chat
from skutune.prompts.json_schema import PROSE, flat_object

SYSTEM = "You advise customers of a store, in short and friendly sentences. You answer with JSON."
USER = (
    "Question: {question}\nRecommended: {names}\nWrite the answer in parts of one or two short sentences: introduction "
    "names all that is recommended; {paragraphs}; conclusion sums up why it is a good choice."
)
PARAGRAPH = "paragraph_{number} is about {name}"


def answer(question: str, names: list[str]) -> Messages:
    """The messages that request the parts of an answer that recommends these names."""
    return chat(SYSTEM, EXAMPLES, _user(question, names))


def slots(count: int) -> list[str]:
    """The keys of the JSON object, in the order of generation."""
    return ["introduction", *(f"paragraph_{number}" for number in range(1, count + 1)), "conclusion"]


def schema(count: int) -> dict[str, Any]:
    """JSON Schema of the parts of an answer with `count` recommendations."""
    return flat_object(slots(count), PROSE)


def _user(question: str, names: list[str]) -> str:
    paragraphs = "; ".join(PARAGRAPH.format(number=number, name=name) for number, name in enumerate(names, start=1))
    return USER.format(question=question, names=", ".join(names), paragraphs=paragraphs)


def _example(question: str, names: list[str], *parts: str) -> tuple[str, str]:
    return _user(question, names), json.dumps(dict(zip(slots(len(names)), parts, strict=True)))


EXAMPLES = (
    _example(
        "What goes with grilled burgers?",
        ["Potato Chips", "Pickles"],
        "Potato chips and pickles are classic company for grilled burgers.",
        "Potato chips bring salt and crunch to the plate. Nobody has to cook them.",
        "Pickles cut through the richness of the meat with their sour bite.",
        "Together they turn a burger into a whole meal with hardly any work.",
    ),
    _example(
        "I drink no cow milk, what can I put in my coffee?",
        ["Almond Creamer", "Oat Milk"],
        "Almond creamer and oat milk both make coffee creamy without any dairy.",
        "Almond creamer is slightly sweet. It adds a gentle nutty note.",
        "Oat milk foams well and tastes mild, so the coffee stays in front.",
        "Either one gives you a smooth cup that suits your diet.",
    ),
)
