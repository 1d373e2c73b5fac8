"""Contract tests for encoders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from skutune.config.schema import EncoderConfig
from skutune.engines import build_encoder
from skutune.engines.base import Encoder
from skutune.engines.weights.locate import Weights
from skutune.samples.models import prepare_encoder, prepare_generator

TEXTS = ["Baked Beans", "Baked beans in tomato sauce", "Crème fraîche 豆腐", "dish soap", "", "  \n", "🥑", "x" * 5000]


def folder_of(engine: str) -> Path | None:
    if engine == "sentence":
        return prepare_encoder()
    return prepare_generator(Path.home() / ".cache" / "skutune") if engine == "mean-pooled" else None


@pytest.fixture(
    scope="module",
    params=[
        "scripted",
        pytest.param("sentence", marks=pytest.mark.model),
        pytest.param("mean-pooled", marks=pytest.mark.model),
    ],
)
def encoder(request: pytest.FixtureRequest) -> Iterator[Encoder]:
    folder = folder_of(request.param)
    config = EncoderConfig(name="tested", engine="scripted" if folder is None else "auto", batch_size=3, max_tokens=32)
    encoder = build_encoder(config, Weights(folder, "tested"))
    yield encoder
    encoder.close()


def test_vectors_are_unit_float32_of_the_declared_dimension(encoder: Encoder) -> None:
    vectors = encoder.encode(TEXTS)
    assert vectors.shape == (len(TEXTS), encoder.dimension)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_no_texts_give_no_vectors(encoder: Encoder) -> None:
    assert encoder.encode([]).shape == (0, encoder.dimension)


def test_vectors_keep_the_order_of_texts_and_do_not_depend_on_the_batch(encoder: Encoder) -> None:
    together = encoder.encode(TEXTS)
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS])
    similarity = (together * alone).sum(axis=1)
    assert similarity.min() > 0.995
    assert (together @ alone.T).argmax(axis=1)[:4].tolist() == [0, 1, 2, 3]


def test_equal_calls_give_equal_vectors(encoder: Encoder) -> None:
    np.testing.assert_array_equal(encoder.encode(TEXTS), encoder.encode(TEXTS))


def test_texts_that_share_words_are_closer_than_those_that_do_not(encoder: Encoder) -> None:
    beans, sauce, soap = encoder.encode(["baked beans", "baked beans in tomato sauce", "dish soap"])
    assert beans @ sauce > beans @ soap


def test_a_text_beyond_max_tokens_is_truncated(encoder: Encoder) -> None:
    if encoder.dimension == 256:
        pytest.skip("the scripted encoder has no maximum length")
    start = "beans and rice " * 30
    first, second = encoder.encode([start + "in a red can", start + "of green glass"])
    np.testing.assert_allclose(first, second, atol=1e-5)
