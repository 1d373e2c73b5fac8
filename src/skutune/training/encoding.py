"""From chats to token ids, labels and loss weights: the loss is on the answer only.

The answer begins where the tokens of the prompt and those of the whole chat part, as in TRL: a template may render a
prompt that is answered a little differently from one that is not.

An answer that does not fit is cut after its last complete reference, so that no partial name or id is ever taught; if
none fits, or the answer is nothing but a product, the example is dropped. An answer without references is cut at the
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
    """A chat that ends with the assistant's answer; `is_identity` where that is `NAME: id ID` and nothing else."""

    messages: list[dict[str, str]]
    is_identity: bool = False


@dataclass(frozen=True, slots=True)
class Encoded:
    """One example, three lists of equal length; `is_cut` where the end of the answer is missing.

    `loss_weights` is 0 for the prompt, 1 for prose and more or less for the names and ids of products.
    """

    input_ids: list[int]
    labels: list[int]
    loss_weights: list[float]
    is_cut: bool


@dataclass(frozen=True, slots=True)
class ExampleEncoder:
    """Encodes chats with a tokenizer that provides character offsets.

    Args:
        tokenizer: with a chat template, of the fast kind.
        max_length: maximum length of an example in tokens.
        reference_weight: weight of the tokens that name a product.

    Raises:
        InputError: the tokenizer is not of the fast kind.
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
        """The chats as examples, in their order; None for one that is left out because it is too long.

        Raises:
            jinja2.TemplateError: the chat template refuses a chat.
        """
        wholes = self._texts([chat.messages for chat in chats], is_prompt=False)
        prompts = self._texts([chat.messages[:-1] for chat in chats], is_prompt=True)
        # The tokenizer spreads one call over the cores.
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
        """How many tokens of a chat that is too long are kept; 0: it is dropped."""
        if ends is None or at < 0:
            return self.max_length
        fitting = (tokens.char_to_token(at + end - 1) + 1 for end in reversed(ends))
        return next((length for length in fitting if length <= self.max_length), 0)

    def _weigh(self, weights: list[float], tokens: Any, span: Span) -> None:
        """Weigh the tokens that a piece of the text became; what was cut off is not there to be weighed."""
        found = (tokens.char_to_token(character) for character in range(*span))
        place = next((token for token in found if token is not None), len(weights))
        # One character may be several tokens, and a token may hold more than one character.
        while place < len(weights) and tokens.token_to_chars(place)[0] < span[1]:
            weights[place] = self.reference_weight
            place += 1


def _common(prompt: Sequence[Any], whole: Sequence[Any]) -> int:
    """How many characters or tokens two texts begin with alike."""
    if whole[: len(prompt)] == prompt:
        return len(prompt)
    pairs = enumerate(zip(prompt, whole, strict=False))
    return next((place for place, (one, other) in pairs if one != other), min(len(prompt), len(whole)))
