"""A text engine without a model: it answers by the shape of the request, fast and always alike.

It speaks the real protocol, so that the whole pipeline is tested, rehearsed and measured at full size without a GPU.
Its texts are no good as training data, but they behave like a small model's where the pipeline looks: recommended names
follow a Zipf-like law over the catalog, and a set share of answers is malformed in the ways that models are.

An answer is a function of the request alone (its id included, so that another attempt is another answer): batching,
order and shards change nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import Any

from skutune.engines.base import Request, Result
from skutune.engines.scripted.texts import DESCRIPTIONS, FILLERS, PROSE, QUESTIONS

_PRODUCT = re.compile(r"^Product:[ \t]*(.+?)[ \t]*$", re.MULTILINE)
_SIZE = re.compile(r"\(.*?\)|,.*|(?<!\S)\d[\w./%]*(?!\S)|\b(?:oz|ct|fl|lb|pack|count)\b|[®™]", re.IGNORECASE)
_BOILERPLATE = ("Sure! Here is the text:\n\n", "Certainly, here you go: ", "As an AI language model, I would say: ")


class ScriptedEngine:
    """A `TextEngine` without weights.

    Args:
        names: the catalog's product names, the most recommended first.
        malformed_rate: the share, in [0, 1], of answers that are made malformed.
    """

    context: int | None = None

    def __init__(self, names: Sequence[str], malformed_rate: float = 0.0, seed: int = 0) -> None:
        self._names = list(names) or ["Store Brand"]
        self._malformed_rate = malformed_rate
        self._seed = str(seed).encode()

    def generate(self, requests: Iterable[Request]) -> Iterator[Result]:
        """See `TextEngine`. Tokens are counted as words."""
        for request in requests:
            yield self._answer(request)

    def close(self) -> None:
        """Nothing to free."""

    def _answer(self, request: Request) -> Result:
        dice = _Dice(self._seed, request)
        user = request.messages[-1]["content"] if request.messages else ""
        named = _PRODUCT.findall(user)
        script = _Script(dice, self._names, named[-1] if named else (user.split("\n")[-1].strip() or "item")[:60])
        text = (
            script.prose(3 + dice.below(3))
            if request.schema is None
            else json.dumps(script.fitting(request.schema), ensure_ascii=False)
        )
        finish = "stop"
        if self._malformed_rate and dice.unit() < self._malformed_rate:
            text, finish = _spoil(text, dice, request.schema is not None)
        return _cut(request, text, finish)


class _Dice:
    """Choices that depend on the request alone."""

    def __init__(self, seed: bytes, request: Request) -> None:
        digest = blake2b(seed, digest_size=32)
        digest.update(request.id.encode("utf-8", "surrogatepass"))
        for message in request.messages:
            digest.update(b"\x1f" + message["content"].encode("utf-8", "surrogatepass"))
        if request.schema is not None:
            digest.update(b"\x1e")
        self._digest = digest.digest()
        self._number = int.from_bytes(self._digest, "big")

    def below(self, bound: int) -> int:
        """A whole number in [0, bound)."""
        if self._number < 1 << 64:
            self._digest = blake2b(self._digest, digest_size=32).digest()
            self._number = int.from_bytes(self._digest, "big")
        self._number, choice = divmod(self._number, bound)
        return choice

    def unit(self) -> float:
        """A number in [0, 1)."""
        return self.below(1 << 30) / (1 << 30)


class _Script:
    """The values of one answer."""

    def __init__(self, dice: _Dice, names: Sequence[str], product: str) -> None:
        self.dice, self.names, self.product = dice, names, product

    def fitting(self, schema: dict[str, Any], key: str = "") -> Any:
        """A value that fits a schema of objects, arrays, strings, numbers and choices; `key` says what it is about."""
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return schema["enum"][self.dice.below(len(schema["enum"]))]
        kind = schema.get("type", "object")
        if kind == "object":
            return {name: self.fitting(part, name) for name, part in schema.get("properties", {}).items()}
        if kind == "array":
            return self._items(schema, key)
        if kind == "string":
            return _fit_length(self._text(key), schema)
        if kind in ("integer", "number"):
            return schema.get("minimum", 0)
        return bool(self.dice.below(2)) if kind == "boolean" else None

    def prose(self, sentences: int, about: Sequence[str] = DESCRIPTIONS) -> str:
        """Sentences about the product, all different."""
        name = shopper_name(self.product)
        start = self.dice.below(len(about))
        chosen = (about[(start + number * 5) % len(about)] for number in range(sentences))
        return " ".join(sentence.format_map(_Filling(self.dice, name)) for sentence in chosen)

    def _items(self, schema: dict[str, Any], key: str) -> list[Any]:
        fewest = schema.get("minItems", 0)
        most = schema.get("maxItems", max(fewest, 3))
        return [
            self.fitting(schema["items"], key or "question") for _ in range(fewest + self.dice.below(most - fewest + 1))
        ]

    def _text(self, key: str) -> str:
        if key == "recommendation_1":
            return shopper_name(self.product)
        if key.startswith(("recommendation", "name")):
            return shopper_name(self.names[self._zipf()])
        if key.startswith("question"):
            return QUESTIONS[self.dice.below(len(QUESTIONS))].format_map(_Filling(self.dice, ""))
        return self.prose(1 + self.dice.below(2), PROSE)

    def _zipf(self) -> int:
        """A rank whose logarithm is uniform: rank r is drawn about as 1/r."""
        return min(int(len(self.names) ** self.dice.unit()), len(self.names)) - 1


class _Filling:
    """What a sentence's slots are filled with: a choice for each slot that it has."""

    def __init__(self, dice: _Dice, name: str) -> None:
        self.dice, self.name = dice, name

    def __getitem__(self, slot: str) -> str:
        if slot == "name":
            return self.name
        words = FILLERS[slot]
        return words[self.dice.below(len(words))]


def shopper_name(product: str) -> str:
    """A product's name as a shopper says it: without sizes and what follows a comma, its last three words."""
    return " ".join((_SIZE.sub(" ", product).split() or product.split() or ["item"])[-3:])


def _fit_length(text: str, schema: dict[str, Any]) -> str:
    text = text[: int(schema.get("maxLength", len(text)))]
    return text + "." * (int(schema.get("minLength", 0)) - len(text))


def _spoil(text: str, dice: _Dice, is_json: bool) -> tuple[str, str]:
    """A malformed text and its finish_reason. JSON that does not parse is always one that was cut."""
    if is_json:
        return (text[: len(text) * dice.below(100) // 100], "length")
    kind = dice.below(4)
    if kind == 0:
        return "", "stop"
    if kind == 1:
        return _BOILERPLATE[dice.below(len(_BOILERPLATE))] + text, "stop"
    if kind == 2:
        return "\n".join(f"{number}. {part}" for number, part in enumerate(text.split(". "), 1)), "stop"
    return text[: len(text) * (20 + dice.below(70)) // 100], "length"


def _cut(request: Request, text: str, finish: str) -> Result:
    words = text.split(" ")
    if len(words) > request.sampling.max_tokens:
        words, finish = words[: request.sampling.max_tokens], "length"
        text = " ".join(words)
    prompt = sum(message["content"].count(" ") + 1 for message in request.messages)
    return Result(request.id, text, finish, prompt, len(words) if text else 0)
