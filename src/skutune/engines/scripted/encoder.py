"""An encoder without a model: hashed word unigrams and bigrams."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from skutune.text import words

_DIMENSION = 256
_BIGRAM_WEIGHT = 0.5


class ScriptedEncoder:
    """An `Encoder` that hashes words and bigrams to coordinates and signs (feature hashing).

    Texts that share words are close, as with a real encoder; paraphrases are not.
    """

    @property
    def dimension(self) -> int:
        """The length of a vector."""
        return _DIMENSION

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `Encoder`."""
        vectors = np.zeros((len(texts), _DIMENSION), np.float32)
        for vector, text in zip(vectors, texts, strict=True):
            _add_features(vector, words(text))
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        # A zero vector (no words, or signs that cancel) becomes the first unit vector.
        vectors[lengths[:, 0] == 0, 0] = 1.0
        vectors /= np.where(lengths == 0, 1, lengths)
        return vectors

    def close(self) -> None:
        """Nothing to free."""


def _add_features(vector: NDArray[np.float32], terms: list[str]) -> None:
    for term in terms:
        index, sign = _coordinate(term)
        vector[index] += sign
    for first, second in pairwise(terms):
        index, sign = _coordinate(f"{first} {second}")
        vector[index] += sign * _BIGRAM_WEIGHT


@lru_cache(maxsize=1 << 18)
def _coordinate(feature: str) -> tuple[int, float]:
    number = zlib.crc32(feature.encode("utf-8", "surrogatepass"))
    return number % _DIMENSION, 1.0 if number & 0x8000_0000 else -1.0
