"""JSON Schemas for generated JSON: few, flat and compact, so that constrained decoding is cheap.

String patterns exclude typical failures of small models: brackets, markdown, endless sentences.
"""

from __future__ import annotations

from typing import Any

_NOT_PROSE = r'?!."{}\[\]#*_<>|\\/:'
_SENTENCE = rf"[A-Z][^{_NOT_PROSE}]{{12,130}}"

QUESTION = rf"^(What|Which|How|Where|Can|Could|Should|Is|Are|Do|Does|I|We|My|For) [^{_NOT_PROSE}]{{12,110}}\?$"
"""A question of one sentence."""

NAME = r'^[A-Z][^"{}\[\]#*_<>|\\/:;()0-9.!?,]{2,38}$'
"""A short name without digits."""

PROSE = rf"^{_SENTENCE}[.!]( {_SENTENCE}[.!])?$"
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
