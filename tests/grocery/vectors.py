"""Vectors of the whole catalog's texts by the real encoder, made once and kept.

49,688 names take about three minutes on two cores, and the five template texts of each product about half an hour. So
the vectors are kept as half-precision arrays in the cache folder, under the digest of the texts that they stand for.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skutune.config.schema import EncoderConfig
from skutune.engines.encoders import SentenceEncoder
from skutune.engines.weights.folders import atomic_folder
from skutune.samples.models import prepare_encoder
from tests.grocery.catalog import TEMPLATES, catalog

CACHE = Path.home() / ".cache" / "skutune" / "benchmarks"
_CHUNK = 10_000  # texts between two lines of progress

Floats = NDArray[np.float32]


@cache
def encoder() -> SentenceEncoder:
    """all-MiniLM-L6-v2."""
    return SentenceEncoder(prepare_encoder(), EncoderConfig(name=str(prepare_encoder())))


def names() -> Floats:
    """Unit vectors of all names, shape (49688, 384)."""
    return encoded("names", [product.name for product in catalog()])


def template(number: int) -> Floats:
    """Unit vectors of template text `number` (from 0) of all products, shape (49688, 384)."""
    return encoded(f"template-{number}", [TEMPLATES[number](product) for product in catalog()])


def encoded(what: str, texts: Sequence[str]) -> Floats:
    """Unit vectors of texts, shape (n, 384), from the cache or made and kept there."""
    digest = blake2b("\n".join(texts).encode(), digest_size=8).hexdigest()
    folder = CACHE / f"{what}-{digest}"
    if not folder.exists():
        parts = []
        for at in range(0, len(texts), _CHUNK):
            print(f"encoding {what}: {at:,} of {len(texts):,} texts", flush=True)
            parts.append(encoder().encode(texts[at : at + _CHUNK]).astype(np.float16))
        with atomic_folder(folder, "encoding") as made:
            made.mkdir()
            np.save(made / "vectors.npy", np.concatenate(parts))
    vectors = np.load(folder / "vectors.npy").astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


if __name__ == "__main__":
    print("names", names().shape)
    for number in range(len(TEMPLATES)):
        print("template", number, template(number).shape)
