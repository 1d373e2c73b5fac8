"""The schemas of generated JSON: few, flat and compact, so that they cost next to nothing while decoding.

Strings follow a pattern that keeps out what a small model drifts into: brackets, markdown, endless sentences.
"""

from __future__ import annotations

from typing import Any

_NOT_PROSE = r'?!."{}\[\]#*_<>|\\/:'
_SENTENCE = rf"[A-Z][^{_NOT_PROSE}]{{12,130}}"

QUESTION = rf"^(What|Which|How|Where|Can|Could|Should|Is|Are|Do|Does|I|We|My|For) [^{_NOT_PROSE}]{{12,110}}\?$"
"""One question of one sentence."""

NAME = r'^[A-Z][^"{}\[\]#*_<>|\\/:;()0-9.!?,]{2,38}$'
"""A short name, without numbers."""

PROSE = rf"^{_SENTENCE}[.!]( {_SENTENCE}[.!])?$"
"""One or two sentences."""


def text(pattern: str) -> dict[str, Any]:
    """A string that follows a pattern."""
    return {"type": "string", "pattern": pattern}


def flat_object(keys: list[str], pattern: str) -> dict[str, Any]:
    """An object with these string properties, all required, in this order, and no others."""
    return {
        "type": "object",
        "properties": {key: text(pattern) for key in keys},
        "required": keys,
        "additionalProperties": False,
    }
