"""Text cells of an export: HTML, nested JSON, links and placeholders.

Shops store descriptions as HTML, and exports write lists as JSON and missing values as words. Taught as they stand, a
model learns to write tags and addresses.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable
from html import unescape
from html.parser import HTMLParser
from typing import Any

from skutune.catalog.notes import Note
from skutune.text import fold

_TAGS = (
    r"a|abbr|address|article|aside|audio|b|big|blockquote|body|br|button|caption|center|cite|code|"
    r"col|colgroup|dd|del|details|div|dl|dt|em|figcaption|figure|font|footer|form|h1|h2|h3|h4|"
    r"h5|h6|head|header|hr|html|i|iframe|img|input|ins|label|li|link|main|mark|meta|nav|"
    r"noscript|ol|option|p|picture|pre|q|s|script|section|select|small|source|span|strike|strong|"
    r"style|sub|summary|sup|svg|table|tbody|td|template|textarea|tfoot|th|thead|time|title|tr|tt|"
    r"u|ul|var|video|wbr"
)
_TAG = re.compile(rf"<(?:/?(?:{_TAGS})(?=[\s/>])|!--)", re.IGNORECASE)
_NO_TAG = re.compile(rf"<(?!/?(?:{_TAGS})(?=[\s/>])|!--)", re.IGNORECASE)
_ENTITY_NAME = r"(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,31});"
_ENTITY = re.compile(f"&{_ENTITY_NAME}", re.IGNORECASE)
_NO_ENTITY = re.compile(f"&(?!{_ENTITY_NAME})", re.IGNORECASE)
_UNSEEN = {"script", "style", "template", "head", "noscript", "iframe", "svg"}
_INLINE = {
    "a",
    "abbr",
    "b",
    "big",
    "em",
    "font",
    "i",
    "mark",
    "s",
    "small",
    "span",
    "strike",
    "strong",
    "sub",
    "sup",
    "u",
    "wbr",
}
_PASSES = 2
"""HTML inside XML is escaped twice."""

_LINK = re.compile(r"(?:https?://|www\.|data:image/)\S+", re.IGNORECASE)
_LINK_SEPARATORS = " ,;|"
_PLACEHOLDERS = frozenset(
    {"NULL", "null", "\\N", "NaN", "nan", "#N/A", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "Default Title"}
)
"""What databases and spreadsheets write for a missing value, and shops for a product without variants."""

_NESTED_CHARACTERS = 100_000

Remember = Callable[[Note], None]


def clean_text(text: str, remember: Remember) -> str:
    """A cell as text on one line, without markup, or "" for a link or a placeholder; what it did is remembered."""
    plain = remove_markup(text)
    if plain != text:
        remember(Note.MARKUP)
    folded = fold(plain)
    if folded in _PLACEHOLDERS:
        remember(Note.PLACEHOLDERS)
        return ""
    if is_link(folded):
        remember(Note.LINKS)
        return ""
    return folded


def remove_markup(text: str) -> str:
    """The text without HTML tags, comments, scripts and entities."""
    for _ in range(_PASSES):
        if _TAG.search(text):
            text = _text_of_html(text)
        elif "&" in text and _ENTITY.search(text):
            text = _ENTITY.sub(_character, text)
        else:
            break
    return text


def _character(entity: re.Match[str]) -> str:
    """The character of an entity; one whose case was changed ("&Reg;") counts too."""
    character = unescape(entity[0])
    return character if character != entity[0] else unescape(entity[0].lower())


def is_link(text: str) -> bool:
    """Whether a text is nothing but one or several addresses."""
    if not _LINK.match(text):
        return False
    return not _LINK.sub(" ", text).strip(_LINK_SEPARATORS)


def nested_value(text: str) -> Any:
    """The list or object that a cell holds as JSON, or as Python prints it; None for any other text."""
    text = text.strip()
    if len(text) < 2 or text[0] + text[-1] not in ("[]", "{}") or len(text) > _NESTED_CHARACTERS:
        return None
    for parse in (json.loads, ast.literal_eval):
        try:
            value = parse(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(value, (dict, list)) and (not value or _holds_text(value)):
            return value
    return None


def _holds_text(value: dict[Any, Any] | list[Any]) -> bool:
    """Whether it is data rather than a text in brackets, such as "[2]"."""
    return isinstance(value, dict) or any(isinstance(item, (str, dict, list)) for item in value)


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._unseen: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._unseen is None and tag in _UNSEEN:
            self._unseen = tag
        self._break(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag == self._unseen:
            self._unseen = None
        self._break(tag)

    def handle_data(self, data: str) -> None:
        if self._unseen is None:
            self.parts.append(data)

    def _break(self, tag: str) -> None:
        if tag not in _INLINE:
            self.parts.append(" ")


def _text_of_html(text: str) -> str:
    parser = _Text()
    # "size < 5" and "&region=" are text.
    parser.feed(_NO_ENTITY.sub("&amp;", _NO_TAG.sub("&lt;", text)))
    parser.close()
    return "".join(parser.parts)
