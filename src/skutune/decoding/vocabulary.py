"""A tokenizer's vocabulary as bytes.

The answer format is enforced on bytes, not on tokens: tokenizers merge across the boundaries of the format's literals
(`".\\n\\n"` is one token in some, three in others), and any tokenization of a valid answer is accepted. Two kinds of
tokenizers are supported: byte-level BPE (Llama 3, SmolLM, Qwen: each character of a token represents one byte) and
SentencePiece with byte fallback (Llama 2, Mistral: `▁` is a space, `<0x0A>` a byte).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skutune.errors import InputError
from skutune.hashing import bytes_digest

_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """`tokens[i]` are the bytes of token i, empty for special tokens; `ends` are the end-of-sequence tokens.

    `flat` is the concatenation of all tokens, uint8; token i is `flat[starts[i] : starts[i] + lengths[i]]`.
    """

    tokens: tuple[bytes, ...]
    ends: tuple[int, ...]
    flat: NDArray[np.uint8] = field(init=False, repr=False)
    starts: NDArray[np.int64] = field(init=False, repr=False)
    lengths: NDArray[np.int64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        lengths = np.fromiter(map(len, self.tokens), np.int64, len(self.tokens))
        object.__setattr__(self, "flat", np.frombuffer(b"".join(self.tokens), np.uint8))
        object.__setattr__(self, "starts", np.cumsum(lengths) - lengths)
        object.__setattr__(self, "lengths", lengths)

    def __len__(self) -> int:
        return len(self.tokens)

    @cached_property
    def digest(self) -> str:
        """A hash of the tokens in order, which identifies the vocabulary that a trie was built for."""
        return bytes_digest(b"".join(len(token).to_bytes(4, "big") + token for token in self.tokens))

    @cached_property
    def by_bytes(self) -> Mapping[bytes, int]:
        """Maps bytes to their token, the lowest if there are several."""
        return {token: number for number, token in reversed(list(enumerate(self.tokens))) if token}

    @cached_property
    def single_bytes(self) -> frozenset[int]:
        """The bytes that are single tokens; an answer can always be completed with these."""
        return frozenset(token[0] for token in self.tokens if len(token) == 1)

    def text_bytes(self, token_ids: list[int]) -> bytes:
        """The concatenated bytes of these tokens."""
        return b"".join(self.tokens[token] for token in token_ids)

    def greedy_tokens(self, text: bytes) -> list[int] | None:
        """Greedy longest-match tokenization of bytes; None if a byte has no token."""
        token_ids, at = [], 0
        longest = int(self.lengths.max(initial=0))
        while at < len(text):
            sizes = range(min(longest, len(text) - at), 0, -1)
            token = next((text[at : at + size] for size in sizes if text[at : at + size] in self.by_bytes), None)
            if token is None:
                return None
            token_ids.append(self.by_bytes[token])
            at += len(token)
        return token_ids


def load_vocabulary(tokenizer: Any, extra_ends: tuple[int, ...] = ()) -> Vocabulary:
    """Read the vocabulary of a transformers tokenizer; `extra_ends` are additional end-of-sequence tokens of the model.

    Raises:
        InputError: the tokenizer is neither byte-level nor SentencePiece with byte fallback, or has no end token.
    """
    names = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    to_bytes = _token_decoder(set(names))
    added = tokenizer.added_tokens_decoder
    tokens = [
        _added_bytes(added[number]) if number in added else to_bytes(name or "") for number, name in enumerate(names)
    ]
    candidates = [*extra_ends, *([] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id])]
    ends = {end for end in candidates if end < len(tokens)}
    if not ends:
        raise InputError("the tokenizer has no end-of-sequence token, so an answer would never end; set eos_token")
    for end in ends:
        tokens[end] = b""
    return Vocabulary(tuple(tokens), tuple(sorted(ends)))


def _added_bytes(token: Any) -> bytes:
    return b"" if token.special else str(token.content).encode()


def _token_decoder(names: set[str]) -> Any:
    if {"<0x0A>", "▁"} <= names:  # checked first: these vocabularies may contain "Ġ" too, a letter of Maltese
        return _sentencepiece_bytes
    if "Ġ" in names:
        alphabet = _byte_alphabet()
        return lambda name: bytes(alphabet[character] for character in name) if set(name) <= alphabet.keys() else b""
    raise InputError(
        "the tokenizer is neither byte-level nor SentencePiece with byte fallback; "
        "answers can be constrained for Llama-like tokenizers only"
    )


def _sentencepiece_bytes(name: str) -> bytes:
    byte = _BYTE_TOKEN.fullmatch(name)
    return bytes([int(byte[1], 16)]) if byte else name.replace("▁", " ").encode()


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's mapping of characters to bytes: printable Latin-1 to itself, the other bytes from code point 256."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    table = {chr(byte): byte for byte in printable}
    return table | {chr(256 + number): byte for number, byte in enumerate(others)}
