"""A scale that makes cosines comparable across encoders and catalogs.

Cosines are distributed differently for every encoder, and a small catalog is not enough to estimate how. They are
calibrated with a **ruler**: fixed pairs of paraphrases, and the same texts paired with each other, encoded once when
the linker is fitted. On the scale, 0 is the mean cosine of unrelated pairs and 1 that of paraphrases.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skutune.engines.base import Encoder
from skutune.errors import InputError
from skutune.linking.vectors.classifier import Floats, Projection, check

LEAST = 0.01  # minimum difference between related and unrelated pairs; below it the encoder is unusable
_NARROW = 0.05  # minimum range of the scale, so that noise of a weak encoder is not amplified

RULER = (
    ("Reading lamp", "A small light for a desk or a bedside table"),
    ("Rain jacket", "Waterproof coat for wet weather"),
    ("Cordless drill", "Power tool with a battery for making holes"),
    ("Lemonade", "Sweet drink made of lemon juice, sugar and water"),
    ("Dog food", "Dry kibble for adult dogs"),
    ("Shampoo", "Liquid soap for washing hair"),
    ("Running shoes", "Trainers for jogging"),
    ("Strawberry jam", "Fruit spread made of strawberries"),
    ("Ballpoint pen", "Pen for writing with blue ink"),
    ("Chicken soup", "Broth with pieces of chicken and vegetables"),
    ("Wool blanket", "Warm cover for a bed"),
    ("Toothpaste", "Paste for brushing teeth"),
    ("Garden hose", "Long tube for watering plants"),
    ("Cheddar cheese", "Firm yellow cheese made of cow's milk"),
    ("Wall clock", "Clock that hangs on the wall"),
    ("Rye bread", "Dark loaf baked from rye flour"),
)


@dataclass(frozen=True, slots=True)
class Scale:
    """An affine scale for cosines that maps `unrelated` to 0 and `related` to 1."""

    unrelated: float
    related: float

    def __call__(self, cosines: Floats) -> Floats:
        """Scale cosines."""
        return np.asarray((cosines - self.unrelated) / max(self.related - self.unrelated, _NARROW), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class CosineScale:
    """The scales of an encoder, for its own vectors (names) and for projected ones (texts)."""

    name: Scale
    text: Scale

    @classmethod
    def measure(cls, encoder: Encoder, projection: Projection) -> CosineScale:
        """Encode the fixed pairs once. Raises InputError if the encoder returns NaN or one vector for everything."""
        vectors = check(encoder.encode([text for pair in RULER for text in pair]), encoder.dimension)
        name = _scale(vectors)
        if not name.related - name.unrelated >= LEAST:
            raise InputError(
                f"the encoder does not distinguish texts: paraphrases have a mean cosine of {name.related:.3f}, "
                f"unrelated texts one of {name.unrelated:.3f}; set models.encoder to a trained sentence encoder"
            )
        return cls(name, _scale(projection.apply(vectors)))


def _scale(vectors: Floats) -> Scale:
    """Measure the scale on the vectors of the ruler, with the two texts of a pair next to each other."""
    cosines = vectors[0::2] @ vectors[1::2].T
    related = np.eye(len(cosines), dtype=bool)
    return Scale(unrelated=float(cosines[~related].mean()), related=float(cosines[related].mean()))
