"""Encodes chats as token ids, labels and loss weights; only the answer carries loss.

The answer starts at the first token that differs between the prompt and the whole chat, as in TRL, because a template
may render a prompt differently with an answer.

An answer that does not fit is cut after its last complete reference, so that no partial name or id is trained; if
none fits, or the answer is only a product, the example is dropped. An answer without references is cut at the
limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from skutune.errors import InputError
from skutune.prompts.chat_template import TEMPLATE_SETTINGS
from skutune.training.reference_spans import Span, spans_of
from skutune.training.tokens import IGNORED


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat that ends with the assistant's answer; `is_identity` if the answer is only `NAME: id ID`."""

    messages: list[dict[str, str]]
    is_identity: bool = False


@dataclass(frozen=True, slots=True)
class Encoded:
    """One example, as three lists of equal length; `is_cut` if the answer is truncated.

    `loss_weights` is 0 for the prompt, 1 for prose and `reference_weight` for names and ids of products.
    """

    input_ids: list[int]
    labels: list[int]
    loss_weights: list[float]
    is_cut: bool


@dataclass(frozen=True, slots=True)
class ExampleEncoder:
    """Encodes chats with a tokenizer that provides character offsets.

    Args:
        tokenizer: a fast tokenizer with a chat template.
        max_length: maximum length of an example in tokens.
        reference_weight: loss weight of the tokens of product references.

    Raises:
        InputError: the tokenizer is not a fast one.
    """

    tokenizer: Any
    max_length: int
    reference_weight: float = 1.0

    def __post_init__(self) -> None:
        if not self.tokenizer.is_fast:
            raise InputError(
                f"base model {self.tokenizer.name_or_path}: its tokenizer has no character offsets; "
                "save it as tokenizer.json (transformers' save_pretrained of a fast tokenizer), or name another model"
            )

    def encode(self, chats: Sequence[Chat]) -> list[Encoded | None]:
        """Encode chats in order; None for one that is dropped because it is too long.

        Raises:
            jinja2.TemplateError: the chat template refuses a chat.
        """
        wholes = self._texts([chat.messages for chat in chats], is_prompt=False)
        prompts = self._texts([chat.messages[:-1] for chat in chats], is_prompt=True)
        # One call, because the tokenizer parallelises it.
        encodings = self.tokenizer(wholes + prompts, add_special_tokens=False).encodings
        return [
            self._example(chat, whole, _common(prompt, whole), tokens, before.ids)
            for chat, whole, prompt, tokens, before in zip(
                chats, wholes, prompts, encodings[: len(chats)], encodings[len(chats) :], strict=True
            )
        ]

    def _texts(self, chats: list[list[dict[str, str]]], is_prompt: bool) -> list[str]:
        texts: list[str] = self.tokenizer.apply_chat_template(
            chats, tokenize=False, add_generation_prompt=is_prompt, **TEMPLATE_SETTINGS
        )
        return texts

    def _example(self, chat: Chat, whole: str, begin: int, tokens: Any, prompt: list[int]) -> Encoded | None:
        answer = chat.messages[-1]["content"].strip()  # templates strip, too
        spans, at = spans_of(answer, chat.is_identity), whole.find(answer, begin)
        start, length = _common(prompt, tokens.ids), len(tokens.ids)
        if length > self.max_length:
            length = self._cut(tokens, at, spans.ends)
        if length <= start:
            return None
        ids = tokens.ids[:length]
        weights = [0.0] * start + [1.0] * (length - start)
        if self.reference_weight != 1.0 and at >= 0:
            for span in spans.products:
                self._weigh(weights, tokens, (at + span[0], at + span[1]))
        return Encoded(ids, [IGNORED] * start + ids[start:], weights, length < len(tokens.ids))

    def _cut(self, tokens: Any, at: int, ends: tuple[int, ...] | None) -> int:
        """The number of tokens to keep of a chat that is too long; 0: drop it."""
        if ends is None or at < 0:
            return self.max_length
        fitting = (tokens.char_to_token(at + end - 1) + 1 for end in reversed(ends))
        return next((length for length in fitting if length <= self.max_length), 0)

    def _weigh(self, weights: list[float], tokens: Any, span: Span) -> None:
        """Set the loss weight of the tokens of a span of the text, as far as they are kept."""
        covering = (tokens.char_to_token(character) for character in range(*span))
        place = next((token for token in covering if token is not None), len(weights))
        # One character may be several tokens, and a token may hold more than one character.
        while place < len(weights) and tokens.token_to_chars(place)[0] < span[1]:
            weights[place] = self.reference_weight
            place += 1


def _common(prompt: Sequence[Any], whole: Sequence[Any]) -> int:
    """The length of the common prefix of two texts or token lists."""
    if whole[: len(prompt)] == prompt:
        return len(prompt)
    pairs = enumerate(zip(prompt, whole, strict=False))
    return next((place for place, (one, other) in pairs if one != other), min(len(prompt), len(whole)))
