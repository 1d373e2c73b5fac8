"""JSON Schemas for generated JSON: few, flat and compact, so that constrained decoding is cheap.

String patterns exclude typical failures of small models: brackets, markdown, endless sentences. They are in the
language that Python, Rust and the JSON grammars of engines share, which has no Unicode categories: a class of letters
is written as what it excludes.
"""

from __future__ import annotations

from typing import Any

_NOT_PROSE = r'?!."{}\[\]#*_<>|\\/:'
_NOT_INITIAL = "a-z -@\\[-`{-~\u00a0-\u00bf\u2000-\u206f\u3000-\u303f\uff00-\uff0f"
"""ASCII lower-case letters, and white space and punctuation of ASCII, Latin, and Chinese, Japanese and Korean text."""
_INITIAL = rf"([^{_NOT_INITIAL}]|[0-9])"
_SENTENCE = rf"{_INITIAL}[^{_NOT_PROSE}。]{{7,130}}"

QUESTION = rf"^¿?{_INITIAL}[^{_NOT_PROSE}？]{{7,120}}[?？]$"
"""A question of one sentence, in any language."""

NAME = rf'^({_INITIAL}|[a-z]{{1,2}}[A-Z])[^"{{}}\[\]#*_<>|\\/:;()!?,]{{1,38}}$'
"""A short name that begins with a letter or a digit; with a lower-case one only as in iPhone."""

PROSE = rf"^{_SENTENCE}[.!。]( ?{_SENTENCE}[.!。])?$"
"""One or two sentences."""


def text(pattern: str) -> dict[str, Any]:
    """A string that matches a pattern."""
    return {"type": "string", "pattern": pattern}


def flat_object(keys: list[str], pattern: str) -> dict[str, Any]:
    """An object with exactly these string properties, all required, in this order."""
    return {
        "type": "object",
        "properties": {key: text(pattern) for key in keys},
        "required": keys,
        "additionalProperties": False,
    }
