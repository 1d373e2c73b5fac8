"""A scale for cosines that means the same with every encoder and every catalog.

A cosine means something else with every encoder, and a small catalog holds too little to learn what. So cosines are
measured with a **ruler**: fixed pairs of texts that mean the same thing, and the same texts paired at random, encoded
once when the linker is fitted. 0 is the mean of the unrelated pairs and 1 that of the related ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skutune.engines.base import Encoder
from skutune.errors import InputError
from skutune.linking.vectors.classifier import Floats, Projection, check

LEAST = 0.01  # an encoder whose pairs differ by less gives one answer to everything: broken, or of another kind
_NARROW = 0.05  # an encoder whose pairs differ by less tells nothing apart; its cosines are not blown up

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
    """An affine scale for cosines: `unrelated` reads 0, `related` reads 1."""

    unrelated: float
    related: float

    def __call__(self, cosines: Floats) -> Floats:
        """Cosines in units of the ruler."""
        return np.asarray((cosines - self.unrelated) / max(self.related - self.unrelated, _NARROW), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class CosineScale:
    """The scales of an encoder: of its own vectors (names) and of projected ones (texts)."""

    name: Scale
    text: Scale

    @classmethod
    def measure(cls, encoder: Encoder, projection: Projection) -> CosineScale:
        """Encode the fixed pairs once. Raises InputError if the encoder returns NaN or one vector for everything."""
        vectors = check(encoder.encode([text for pair in RULER for text in pair]), encoder.dimension)
        name = _scale(vectors)
        if not name.related - name.unrelated >= LEAST:
            raise InputError(
                f"the encoder tells nothing apart: texts that mean the same have a cosine of {name.related:.3f}, "
                f"unrelated ones of {name.unrelated:.3f}; set models.encoder to a sentence encoder that is trained"
            )
        return cls(name, _scale(projection.apply(vectors)))


def _scale(vectors: Floats) -> Scale:
    """From the vectors of the ruler's texts, each pair's two side by side."""
    cosines = vectors[0::2] @ vectors[1::2].T
    related = np.eye(len(cosines), dtype=bool)
    return Scale(unrelated=float(cosines[~related].mean()), related=float(cosines[related].mean()))
