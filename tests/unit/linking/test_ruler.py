"""A scale for cosines that means the same with every encoder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from linking_parts import MiniLm

from skutune.engines.scripted_encoder import ScriptedEncoder
from skutune.linking.classifier import Projection
from skutune.linking.ruler import RULER, Ruler, Scale


class Same:
    """An encoder that tells nothing apart."""

    dimension = 8

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        vectors[:, 0] = 1
        return vectors

    def close(self) -> None:
        pass


def test_unrelated_reads_0_and_related_reads_1() -> None:
    scale = Scale(unrelated=0.2, related=0.7)
    assert scale(np.array([0.2, 0.45, 0.7, 0.95], dtype=np.float32)).tolist() == pytest.approx([0, 0.5, 1, 1.5])


def test_the_rulers_own_pairs_read_so_on_average(encoder: MiniLm) -> None:
    ruler = Ruler.measure(encoder, Projection(None))
    vectors = encoder.encode([text for pair in RULER for text in pair])
    read = ruler.name(vectors[0::2] @ vectors[1::2].T)
    related = np.eye(len(RULER), dtype=bool)
    assert read[related].mean() == pytest.approx(1, abs=1e-5)
    assert read[~related].mean() == pytest.approx(0, abs=1e-5)
    assert (np.diag(read)[:, None] >= read).mean() > 0.95


def test_cosines_of_texts_are_measured_as_projected() -> None:
    half = np.diag(np.linspace(0, 1, ScriptedEncoder().dimension)).astype(np.float32)
    ruler = Ruler.measure(ScriptedEncoder(), Projection(half))
    plain = Ruler.measure(ScriptedEncoder(), Projection(None))
    assert ruler.name == plain.name
    assert plain.text.related == pytest.approx(plain.name.related)
    assert ruler.text.related != pytest.approx(ruler.name.related, abs=0.01)


def test_an_encoder_that_tells_nothing_apart_is_not_blown_up() -> None:
    ruler = Ruler.measure(Same(), Projection(None))
    assert ruler.name(np.array([1.0, 0.99], dtype=np.float32)).tolist() == pytest.approx([0, -0.2], abs=1e-4)
