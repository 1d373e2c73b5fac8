"""A fast, deterministic text engine without a model: texts follow the request's schema.

It implements the real protocol, so that the whole pipeline can be tested and benchmarked at full size without a GPU.
Its texts are useless as training data, but resemble those of a small model in the properties that matter to the
pipeline: recommended names follow a Zipf-like distribution over the catalog, and a configurable share of texts is
malformed in typical ways.

A text is a function of the request, including its id (so that a new attempt gives a new text); batching, order and
sharding have no effect.
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
        names: the catalog's product names, most recommended first.
        malformed_rate: the share of malformed texts, in [0, 1].
    """

    context: int | None = None

    def __init__(self, names: Sequence[str], malformed_rate: float = 0.0, seed: int = 0) -> None:
        self._names = list(names) or ["Store Brand"]
        self._malformed_rate = malformed_rate
        self._seed = str(seed).encode()

    def generate(self, requests: Iterable[Request]) -> Iterator[Result]:
        """See `TextEngine`. A word counts as a token."""
        for request in requests:
            yield self._answer(request)

    def close(self) -> None:
        """Nothing to free."""

    def _answer(self, request: Request) -> Result:
        random = _Random(self._seed, request)
        user = request.messages[-1]["content"] if request.messages else ""
        product_names = _PRODUCT.findall(user)
        script = _Script(
            random, self._names, product_names[-1] if product_names else (user.split("\n")[-1].strip() or "item")[:60]
        )
        text = (
            script.prose(3 + random.below(3))
            if request.schema is None
            else json.dumps(script.value(request.schema), ensure_ascii=False)
        )
        finish = "stop"
        if self._malformed_rate and random.unit() < self._malformed_rate:
            text, finish = _malform(text, random, request.schema is not None)
        return _truncate(request, text, finish)


class _Random:
    """A pseudo-random number generator that is seeded with the request."""

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
        """An integer in [0, bound)."""
        if self._number < 1 << 64:
            self._digest = blake2b(self._digest, digest_size=32).digest()
            self._number = int.from_bytes(self._digest, "big")
        self._number, choice = divmod(self._number, bound)
        return choice

    def unit(self) -> float:
        """A float in [0, 1)."""
        return self.below(1 << 30) / (1 << 30)


class _Script:
    """Generates the values of one text."""

    def __init__(self, random: _Random, names: Sequence[str], product: str) -> None:
        self.random, self.names, self.product = random, names, product

    def value(self, schema: dict[str, Any], key: str = "") -> Any:
        """Generate a value that follows a JSON Schema; the content of strings depends on `key`, their property."""
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return schema["enum"][self.random.below(len(schema["enum"]))]
        kind = schema.get("type", "object")
        if kind == "object":
            return {name: self.value(part, name) for name, part in schema.get("properties", {}).items()}
        if kind == "array":
            return self._items(schema, key)
        if kind == "string":
            return _fit_length(self._text(key), schema)
        if kind in ("integer", "number"):
            return schema.get("minimum", 0)
        return bool(self.random.below(2)) if kind == "boolean" else None

    def prose(self, sentences: int, about: Sequence[str] = DESCRIPTIONS) -> str:
        """Generate distinct sentences about the product."""
        name = shopper_name(self.product)
        start = self.random.below(len(about))
        chosen = (about[(start + number * 5) % len(about)] for number in range(sentences))
        return " ".join(sentence.format_map(_Fillers(self.random, name)) for sentence in chosen)

    def _items(self, schema: dict[str, Any], key: str) -> list[Any]:
        min_items = schema.get("minItems", 0)
        max_items = schema.get("maxItems", max(min_items, 3))
        return [
            self.value(schema["items"], key or "question")
            for _ in range(min_items + self.random.below(max_items - min_items + 1))
        ]

    def _text(self, key: str) -> str:
        if key == "recommendation_1":
            return shopper_name(self.product)
        if key.startswith(("recommendation", "name")):
            return shopper_name(self.names[self._zipf()])
        if key.startswith("question"):
            return QUESTIONS[self.random.below(len(QUESTIONS))].format_map(_Fillers(self.random, ""))
        return self.prose(1 + self.random.below(2), PROSE)

    def _zipf(self) -> int:
        """Sample a log-uniform rank: the probability of rank r is about proportional to 1/r."""
        return min(int(len(self.names) ** self.random.unit()), len(self.names)) - 1


class _Fillers:
    """Maps the slots of a sentence template to random fillers."""

    def __init__(self, random: _Random, name: str) -> None:
        self.random, self.name = random, name

    def __getitem__(self, slot: str) -> str:
        if slot == "name":
            return self.name
        words = FILLERS[slot]
        return words[self.random.below(len(words))]


def shopper_name(product: str) -> str:
    """A product's name as a shopper would say it: the last three words, without sizes and text after a comma."""
    return " ".join((_SIZE.sub(" ", product).split() or product.split() or ["item"])[-3:])


def _fit_length(text: str, schema: dict[str, Any]) -> str:
    text = text[: int(schema.get("maxLength", len(text)))]
    return text + "." * (int(schema.get("minLength", 0)) - len(text))


def _malform(text: str, random: _Random, is_json: bool) -> tuple[str, str]:
    """Return a malformed text and its finish_reason; malformed JSON is always truncated."""
    if is_json:
        return (text[: len(text) * random.below(100) // 100], "length")
    kind = random.below(4)
    if kind == 0:
        return "", "stop"
    if kind == 1:
        return _BOILERPLATE[random.below(len(_BOILERPLATE))] + text, "stop"
    if kind == 2:
        return "\n".join(f"{number}. {part}" for number, part in enumerate(text.split(". "), 1)), "stop"
    return text[: len(text) * (20 + random.below(70)) // 100], "length"


def _truncate(request: Request, text: str, finish: str) -> Result:
    words = text.split(" ")
    if len(words) > request.sampling.max_tokens:
        words, finish = words[: request.sampling.max_tokens], "length"
        text = " ".join(words)
    prompt = sum(message["content"].count(" ") + 1 for message in request.messages)
    return Result(request.id, text, finish, prompt, len(words) if text else 0)
