"""Sentence templates of the scripted engine."""

from __future__ import annotations

FILLERS = {
    "meal": (
        "a weeknight dinner", "a slow Sunday breakfast", "a packed lunch", "a quick snack", "a summer barbecue",
        "a family brunch", "a picnic", "a holiday table", "a movie night", "a warm supper", "a late supper",
        "an afternoon tea",
    ),
    "diet": (
        "vegetarian", "gluten-free", "low in sugar", "high in protein", "dairy-free", "nut-free", "low in salt",
        "kid-friendly", "vegan", "whole-grain",
    ),
    "trait": (
        "smooth", "crisp", "rich", "mild", "hearty", "bright", "tender", "savory", "fresh", "delicate", "robust",
        "sweet",
    ),
    "guest": (
        "my parents", "four hungry teenagers", "a new neighbour", "two small children", "the whole office", "a runner",
        "my book club", "an old friend", "a house full of guests", "just the two of us",
    ),
}  # fmt: skip

DESCRIPTIONS = (
    "{name} is a {trait} choice for {meal}.",
    "Shoppers pick {name} for its {trait} character.",
    "It suits {guest} and works well at {meal}.",
    "The {trait} taste of {name} goes with many dishes.",
    "Serve {name} at {meal}, or keep it for later.",
    "Many people who look for something {diet} compare the label first.",
    "{name} keeps well and is ready when you are.",
    "Its {trait} quality makes {meal} a little better.",
)

PROSE = (
    "It brings something {trait} to {meal}.",
    "This is an easy choice for {guest}.",
    "Together they make {meal} feel complete.",
    "It is {trait} enough to stand by itself.",
    "People who want something {diet} should read the label.",
    "Start with this one, and let the rest follow.",
    "It balances the {trait} notes of the other choices.",
)

QUESTIONS = (
    "What would be good to have at {meal} for {guest}?",
    "I need something {trait} and {diet}; what do you suggest?",
    "What goes well with a {trait} dish at {meal}?",
    "Which {diet} things should I buy for {meal}?",
    "I am planning {meal} for {guest}. What should I put in my cart?",
    "Can you recommend something {trait} for {guest}?",
    "What can I serve instead of my usual choice at {meal} if it must be {diet}?",
    "What do I need to make {meal} a bit more {trait}?",
    "I am out of ideas for {meal}; what would {guest} like?",
    "What is a {diet} treat that feels {trait}?",
    "Which two things belong together at {meal}?",
    "Something {trait} for {guest}, please: what would you choose?",
)
