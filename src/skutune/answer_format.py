"""Rendering and parsing of the answer format that the tuned model learns.

    <introduction>

     * <name>: <paragraph>
    (closest product: <product name>: id <product id>)


     * <name>: <paragraph>
    (no close product)


    <conclusion>

The round trip is exact: `parse(render(answer)) == answer` for every answer that `render` accepts, and `parse` accepts
nothing else. A reference is split at its last `: id `, so a product name may contain anything except line breaks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from skutune.errors import SkutuneError

MARKER = "(closest product:"
NO_PRODUCT = "(no close product)"
BULLET = " * "
GAP = "\n\n\n"
_ID_SEPARATOR = ": id "
_LINE_BREAKS = re.compile(r"[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")


class FormatError(SkutuneError):
    """A text is not in the answer format, or a rendered answer would not parse back to itself."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A product referenced in an answer."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class AnswerItem:
    """One recommendation: its name, its paragraph, and its product (None: no close product)."""

    name: str
    paragraph: str
    product: Reference | None


@dataclass(frozen=True, slots=True)
class AnswerText:
    """A complete answer."""

    introduction: str
    items: tuple[AnswerItem, ...]
    conclusion: str


def is_valid_id(product_id: str) -> bool:
    """Whether a text is a valid id: non-empty, without white space or control characters."""
    return bool(product_id) and product_id.isprintable() and not any(character.isspace() for character in product_id)


def contains_marker(prose: str) -> bool:
    """Whether prose contains a phrase that is reserved for references."""
    lowered = prose.lower()
    return "closest product" in lowered or "no close product" in lowered


def render_reference(product: Reference | None) -> str:
    """Render `(closest product: NAME: id ID)`, or `(no close product)` for None."""
    return NO_PRODUCT if product is None else f"{MARKER} {product.name}{_ID_SEPARATOR}{product.id})"


def render(answer: AnswerText) -> str:
    """Render an answer. Raises FormatError if the text would not parse back to the same answer."""
    if not answer.items:
        raise FormatError("an answer needs at least one recommendation")
    _check_prose("introduction", answer.introduction)
    _check_prose("conclusion", answer.conclusion)
    blocks = []
    for item in answer.items:
        _check_prose("name", item.name)
        _check_prose("paragraph", item.paragraph)
        if ": " in item.name:
            raise FormatError(f"the name {item.name!r} contains ': ', which ends a name")
        if item.product is not None:
            _check_product(item.product)
        blocks.append(f"{BULLET}{item.name}: {item.paragraph}\n{render_reference(item.product)}")
    return answer.introduction + "\n\n" + GAP.join(blocks) + GAP + answer.conclusion


def parse(text: str) -> AnswerText:
    """Parse an answer. Raises FormatError, whose message says what was expected and where."""
    introduction, separator, rest = text.partition("\n\n")
    if not separator:
        raise FormatError("no blank line after the introduction")
    _check_prose("introduction", introduction)
    *blocks, conclusion = rest.split(GAP)
    if not blocks:
        raise FormatError("no recommendation after the introduction")
    _check_prose("conclusion", conclusion)
    return AnswerText(introduction, tuple(_parse_item(block) for block in blocks), conclusion)


def parse_reference(line: str) -> Reference | None:
    """Parse a reference line; None for `(no close product)`. Raises FormatError."""
    if line == NO_PRODUCT:
        return None
    if not line.startswith(MARKER + " ") or not line.endswith(")"):
        raise FormatError(f"not a product reference: {line[:80]!r}")
    name, separator, product_id = line[len(MARKER) + 1 : -1].rpartition(_ID_SEPARATOR)
    if not separator:
        raise FormatError(f"reference without an id: {line[:80]!r}")
    product = Reference(product_id, name)
    _check_product(product)
    return product


def _parse_item(block: str) -> AnswerItem:
    bullet_line, separator, reference = block.partition("\n")
    if not bullet_line.startswith(BULLET) or not separator:
        raise FormatError(f"not a recommendation followed by a reference: {block[:80]!r}")
    name, separator, paragraph = bullet_line[len(BULLET) :].partition(": ")
    if not separator:
        raise FormatError(f"recommendation without a name: {bullet_line[:80]!r}")
    _check_prose("name", name)
    _check_prose("paragraph", paragraph)
    return AnswerItem(name, paragraph, parse_reference(reference))


def _check_prose(part: str, prose: str) -> None:
    if not prose or prose != prose.strip():
        raise FormatError(f"the {part} is empty or has leading or trailing white space")
    if _LINE_BREAKS.search(prose):
        raise FormatError(f"the {part} contains a line break")
    if contains_marker(prose):
        raise FormatError(f"the {part} contains a reserved phrase (closest product, no close product)")


def _check_product(product: Reference) -> None:
    if not is_valid_id(product.id):
        raise FormatError(f"{product.id!r} is not a valid id: it is empty or has white space or control characters")
    if not product.name or product.name != product.name.strip() or _LINE_BREAKS.search(product.name):
        raise FormatError(f"{product.name!r} is not a valid product name: it must be one trimmed line")
