"""A scale for cosines that means the same with every encoder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from linking_parts import MiniLm, product

from skutune.config.schema import ClassifyConfig
from skutune.engines.scripted.encoder import ScriptedEncoder
from skutune.errors import InputError
from skutune.linking import fit_linker
from skutune.linking.vectors.classifier import Projection, unit
from skutune.linking.vectors.cosine_scale import RULER, CosineScale, Scale


class Same:
    """An encoder that gives one vector to all texts, or nearly so."""

    dimension = 8

    def __init__(self, noise: float = 0.0) -> None:
        self._noise = noise

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        vectors = self._noise * np.random.default_rng(0).normal(size=(len(texts), self.dimension))
        vectors[:, 0] += 1
        return unit(vectors.astype(np.float32))

    def close(self) -> None:
        pass


def test_unrelated_reads_0_and_related_reads_1() -> None:
    scale = Scale(unrelated=0.2, related=0.7)
    assert scale(np.array([0.2, 0.45, 0.7, 0.95], dtype=np.float32)).tolist() == pytest.approx([0, 0.5, 1, 1.5])


def test_the_rulers_own_pairs_read_so_on_average(encoder: MiniLm) -> None:
    ruler = CosineScale.measure(encoder, Projection(None))
    vectors = encoder.encode([text for pair in RULER for text in pair])
    read = ruler.name(vectors[0::2] @ vectors[1::2].T)
    related = np.eye(len(RULER), dtype=bool)
    assert read[related].mean() == pytest.approx(1, abs=1e-5)
    assert read[~related].mean() == pytest.approx(0, abs=1e-5)
    assert (np.diag(read)[:, None] >= read).mean() > 0.95


def test_cosines_of_texts_are_measured_as_projected() -> None:
    half = np.diag(np.linspace(0, 1, ScriptedEncoder().dimension)).astype(np.float32)
    ruler = CosineScale.measure(ScriptedEncoder(), Projection(half))
    plain = CosineScale.measure(ScriptedEncoder(), Projection(None))
    assert ruler.name == plain.name
    assert plain.text.related == pytest.approx(plain.name.related)
    assert ruler.text.related != pytest.approx(ruler.name.related, abs=0.01)


def test_a_scale_that_hardly_tells_things_apart_is_not_blown_up() -> None:
    scale = Scale(unrelated=0.98, related=0.99)
    assert scale(np.array([0.98, 0.99], dtype=np.float32)).tolist() == pytest.approx([0, 0.2], abs=1e-4)


@pytest.mark.parametrize("noise", [0.0, 0.002])
def test_an_encoder_that_tells_nothing_apart_is_refused(noise: float) -> None:
    with pytest.raises(InputError, match=r"does not distinguish texts.*models\.encoder"):
        CosineScale.measure(Same(noise), Projection(None))


def test_a_catalog_is_not_fitted_with_such_an_encoder() -> None:
    with pytest.raises(InputError, match="does not distinguish texts"):
        fit_linker([product("a", "Baked Beans"), product("b", "Ginger Ale")], [], ClassifyConfig(epochs=1), Same())
