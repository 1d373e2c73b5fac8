"""What a small model gets wrong in prose, mended where that is safe.

Openings ("Sure! Here is …:"), quotes around everything, numbering and markdown are removed; a last sentence that was
cut is dropped. What cannot be mended is said, for the caller to ask again.
"""

from __future__ import annotations

import re

from skutune.answer_format import holds_marker
from skutune.text import fold, words

_LABEL = r"(?:description|paragraph|text|answer|introduction|conclusion|version|variant|rewrite|product description)"
_OPENINGS = re.compile(
    r"^\s*(?:"
    r"(?:sure|certainly|of course|absolutely|great|okay|ok)\b[^.:\n]{0,40}?[!.,:]\s*"
    r"|here(?:'s|’s| is| are)\b[^.\n]{0,120}?:\s*"
    rf"|(?:the |a |an |my |your )?(?:new |short |rewritten |revised )?{_LABEL}\s*(?:\d+\s*)?:\s*"
    r")+",
    re.IGNORECASE,
)
_MARKDOWN = re.compile(r"\*\*|__|`+|^\s{0,3}#{1,6}\s+|^\s*[-*•]\s+|^\s*\d{1,2}[.)]\s+", re.MULTILINE)
_QUOTES = "\"'“”‘’«»"
_SENTENCE = re.compile(r"[^.!?]*(?:[.!?](?![\s\"'”’)]|$)[^.!?]*)*(?:[.!?]+[\"'”’)]*(?=\s|$)|$)")
# A model that is made to end a sentence at a length may end it here.
_DANGLING = re.compile(
    r"(?:[,;:–—-]|\b(?:a|an|the|and|or|but|of|to|for|with|in|on|at|by|from|as|is|are|was|be|that|which|who|it's|they|your|"
    r"their|its|my|our|his|her|very|so|if|when|because|than|can|will|also|not|I))\s*[.!?…]+$"
)
_REFUSALS = re.compile(
    r"\b(?:as an ai\b|i(?:'m| am) (?:sorry|unable)|i can(?:no|')t (?:help|assist|provide))", re.IGNORECASE
)


def clean_prose(text: str, *, cut: bool, max_sentences: int | None = None) -> str:
    """One line of whole sentences, or "" where nothing is left.

    Args:
        cut: whether the text ended at its token limit; an unfinished last sentence is dropped either way.
        max_sentences: what comes after these is left out.
    """
    body = _MARKDOWN.sub("", _OPENINGS.sub("", _MARKDOWN.sub("", text.strip())))
    body = _unquote(fold(body))
    sentences = sentences_of(body)
    if cut and sentences and not _is_whole(sentences[-1]):
        sentences.pop()
    if max_sentences is not None:
        sentences = sentences[:max_sentences]
    return " ".join(sentences)


def sentences_of(text: str) -> list[str]:
    """The sentences of one line of prose; the last may lack its full stop."""
    return [found.strip() for found in _SENTENCE.findall(text) if found.strip()]


def fault_of(prose: str, *, min_sentences: int = 1) -> str | None:
    """Why cleaned prose is not usable, or None."""
    if not prose:
        return "empty"
    if len(sentences_of(prose)) < min_sentences:
        return f"fewer than {min_sentences} whole sentences"
    if not _is_whole(prose):
        return "the last sentence is not whole"
    if _REFUSALS.search(prose):
        return "a refusal"
    if holds_marker(prose):
        return "speaks of a closest product"
    if repeats(prose):
        return "repeats itself"
    return None


def repeats(prose: str) -> bool:
    """Whether a text is stuck: a sentence comes three times, or its words are hardly distinct."""
    sentences = [sentence.casefold() for sentence in sentences_of(prose)]
    if any(sentences.count(sentence) >= 3 for sentence in set(sentences)):
        return True
    spoken = words(prose)
    return len(spoken) >= 40 and len(set(spoken)) / len(spoken) < 0.25


def clean_name(text: str) -> str:
    """A recommended name on one line, without numbering, quotes, brackets around it or a full stop."""
    name = fold(_MARKDOWN.sub("", text)).strip(_QUOTES + " .,;:*-–—[]{}<>")
    return re.sub(r"\s*\([^)]*\)?$", "", name).strip()


def clean_question(text: str) -> str:
    """A question on one line, without numbering, quotes or a label."""
    return _unquote(
        fold(re.sub(r"^\s*(?:question\s*)?\d*\s*[.):]\s*", "", _MARKDOWN.sub("", text), flags=re.IGNORECASE))
    )


def _unquote(text: str) -> str:
    while len(text) >= 2 and text[0] in _QUOTES and text[-1] in _QUOTES:
        text = text[1:-1].strip()
    return text


def _is_whole(sentence: str) -> bool:
    """Whether a sentence ends as one: with its mark, and not after a word or comma that asks for more."""
    body = sentence.rstrip(_QUOTES + ")")
    return body.endswith((".", "!", "?", "…")) and not _DANGLING.search(body)
