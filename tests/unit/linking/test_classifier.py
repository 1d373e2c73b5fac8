"""The shared projection: trained where it pays, else the identity."""

from __future__ import annotations

import numpy as np
import pytest

from skutune.config import ClassifyConfig
from skutune.errors import InputError
from skutune.linking import classifier
from skutune.linking.classifier import Floats, Ints, unit


def noisy(classes: int, texts: int, signal: int = 8, noise: int = 24) -> tuple[Floats, Ints]:
    """Texts whose first dimensions say the product and whose other, louder ones say nothing."""
    generator = np.random.default_rng(1)
    labels = np.repeat(np.arange(classes), texts)
    own = generator.normal(size=(classes, signal))[labels]
    vectors = np.hstack([own + 0.2 * generator.normal(size=own.shape), 2 * generator.normal(size=(len(labels), noise))])
    return unit(vectors.astype(np.float32)), labels.astype(np.int64)


def test_training_learns_which_directions_tell_products_apart() -> None:
    vectors, labels = noisy(60, 6)
    projection, figures = classifier.fit(vectors, labels, ClassifyConfig(epochs=30, learning_rate=0.01, batch_size=128))
    assert figures["projection"] == "trained"
    assert figures["accuracy_trained"] > figures["accuracy_centroid"] + 0.2
    assert projection.apply(vectors).shape == vectors.shape


def test_sampled_rivals_train_as_well_as_all_products(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, labels = noisy(60, 6)
    monkeypatch.setattr(classifier, "ALL_CLASSES", 10)
    _, figures = classifier.fit(vectors, labels, ClassifyConfig(epochs=30, learning_rate=0.01, batch_size=16))
    assert figures["accuracy_trained"] > figures["accuracy_centroid"] + 0.2


def test_training_that_names_no_more_texts_right_is_not_kept() -> None:
    vectors = np.eye(8, dtype=np.float32)[np.repeat(np.arange(8), 4)]
    projection, figures = classifier.fit(vectors, np.repeat(np.arange(8), 4), ClassifyConfig(epochs=2))
    assert figures["accuracy_centroid"] == 1
    assert (projection.weight, figures["projection"]) == (None, "identity")


@pytest.mark.parametrize(
    ("labels", "epochs"), [([0, 0, 0, 1, 1, 1], 0), ([0] * 6, 5), ([0, 1, 2, 3, 4, 5], 5), ([0, 0, 1, 1, 2, 2], 5)]
)
def test_without_epochs_products_or_texts_the_projection_is_the_identity(labels: list[int], epochs: int) -> None:
    vectors = unit(np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32))
    projection, figures = classifier.fit(vectors, np.array(labels), ClassifyConfig(epochs=epochs))
    assert projection.weight is None
    assert figures["why"]
    assert np.allclose(projection.apply(vectors), vectors, atol=1e-6)


def test_one_text_is_held_out_where_there_are_three() -> None:
    labels = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2])
    held = classifier.held_out(labels, seed=0)
    assert sorted(labels[held].tolist()) == [0, 2]


def test_a_centroid_depends_on_its_own_texts_alone() -> None:
    vectors, labels = noisy(5, 3)
    whole = classifier.centroids(vectors, labels, 5)
    fewer = classifier.centroids(vectors[labels < 3], labels[labels < 3], 5)
    assert np.allclose(whole[:3], fewer[:3])
    assert not fewer[3:].any()


def test_bad_vectors_are_refused_with_their_row() -> None:
    vectors = np.ones((3, 4), dtype=np.float32)
    vectors[1, 2] = np.nan
    with pytest.raises(InputError, match="vector 1 of 3"):
        classifier.fit(vectors, np.array([0, 1, 2]), ClassifyConfig())
    with pytest.raises(InputError, match="labels"):
        classifier.fit(np.ones((3, 4), dtype=np.float32), np.array([0, 1]), ClassifyConfig())
