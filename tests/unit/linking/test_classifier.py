"""The shared projection: trained where it pays, else the identity."""

from __future__ import annotations

import numpy as np
import pytest

from skutune.config.schema import ClassifyConfig
from skutune.errors import InputError
from skutune.linking.vectors import classifier, projection, train
from skutune.linking.vectors.classifier import Floats, Ints, unit


def noisy(classes: int, texts: int, signal: int = 8, noise: int = 24) -> tuple[Floats, Ints]:
    """Texts whose first dimensions say the product and whose other, louder ones say nothing."""
    generator = np.random.default_rng(1)
    labels = np.repeat(np.arange(classes), texts)
    own = generator.normal(size=(classes, signal))[labels]
    vectors = np.hstack([own + 0.2 * generator.normal(size=own.shape), 2 * generator.normal(size=(len(labels), noise))])
    return unit(vectors.astype(np.float32)), labels.astype(np.int64)


def test_training_learns_which_directions_tell_products_apart() -> None:
    vectors, labels = noisy(60, 6)
    learned, figures = classifier.fit(vectors, labels, ClassifyConfig(epochs=30, learning_rate=0.01, batch_size=128))
    assert figures["projection"] != "identity"
    assert figures["accuracy_trained"] > figures["accuracy_centroid"] + 0.2
    assert learned.apply(vectors).shape == vectors.shape


def test_sampled_rivals_train_as_well_as_all_products(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, labels = noisy(60, 6)
    monkeypatch.setattr(train, "ALL_CLASSES", 10)
    _, figures = classifier.fit(vectors, labels, ClassifyConfig(epochs=30, learning_rate=0.01, batch_size=16))
    assert figures["accuracy_trained"] > figures["accuracy_centroid"] + 0.2


def test_a_batch_worked_in_pieces_trains_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, labels = noisy(20, 4)
    rows, config = np.arange(len(labels)), ClassifyConfig(epochs=3, learning_rate=0.01, batch_size=40)
    *_, (whole, loss) = train.train(vectors, labels, rows, config)
    monkeypatch.setattr(train, "_CELLS", 20 * 7)
    *_, (pieces, same) = train.train(vectors, labels, rows, config)
    assert whole.weight is not None
    assert pieces.weight is not None
    assert np.allclose(whole.weight, pieces.weight, atol=1e-4)
    assert loss == pytest.approx(same, rel=1e-4)


def test_training_draws_the_same_from_the_same_seed_and_tells_of_each_epoch() -> None:
    vectors, labels = noisy(20, 4)
    config, told = ClassifyConfig(epochs=3, learning_rate=0.01, batch_size=40), list[int]()
    first, figures = classifier.fit(vectors, labels, config, told.append)
    second, same = classifier.fit(vectors, labels, config)
    assert figures == same
    assert told == [1, 2, 3]
    assert np.array_equal(first.apply(vectors), second.apply(vectors))


def test_training_ends_where_epochs_bring_nothing_more() -> None:
    vectors, labels = np.eye(70, dtype=np.float32)[np.repeat(np.arange(70), 4)], np.repeat(np.arange(70), 4)
    _, figures = classifier.fit(vectors, labels, ClassifyConfig(epochs=100, batch_size=2))
    assert len(figures["losses"]) == 1 + classifier.PATIENCE


def test_training_that_names_no_more_texts_right_is_not_kept() -> None:
    vectors = np.eye(8, dtype=np.float32)[np.repeat(np.arange(8), 4)]
    learned, figures = classifier.fit(vectors, np.repeat(np.arange(8), 4), ClassifyConfig(epochs=2))
    assert figures["accuracy_centroid"] == 1
    assert (learned.weight, figures["projection"]) == (None, "identity")


@pytest.mark.parametrize(
    ("labels", "epochs"), [([0, 0, 0, 1, 1, 1], 0), ([0] * 6, 5), ([0, 1, 2, 3, 4, 5], 5), ([0, 0, 1, 1, 2, 2], 5)]
)
def test_without_epochs_products_or_texts_the_projection_is_the_identity(labels: list[int], epochs: int) -> None:
    vectors = unit(np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32))
    learned, figures = classifier.fit(vectors, np.array(labels), ClassifyConfig(epochs=epochs))
    assert learned.weight is None
    assert figures["why"]
    assert np.allclose(learned.apply(vectors), vectors, atol=1e-6)


def test_the_last_text_is_held_out_where_there_are_three() -> None:
    labels = np.array([0, 0, 2, 1, 2, 0, 1, 2, 2])
    assert np.flatnonzero(classifier.held_out(labels)).tolist() == [5, 8]


def test_whitening_shortens_what_differs_within_a_product() -> None:
    vectors, labels = noisy(60, 6)
    _, figures = classifier.fit(vectors, labels, ClassifyConfig(epochs=1))
    assert figures["projection"] == "whitened"
    assert figures["accuracy_whitened"] > figures["accuracy_centroid"]


def test_texts_that_never_differ_need_no_whitening() -> None:
    vectors, labels = np.eye(4, dtype=np.float32)[[0, 0, 1, 1]], np.array([0, 0, 1, 1])
    assert projection.whitened(vectors, labels, np.arange(4)).weight is None


def test_a_template_filled_in_teaches_nothing() -> None:
    vectors, labels = noisy(60, 6)
    frames = np.random.default_rng(2).normal(size=(6, vectors.shape[1]))[np.tile(np.arange(6), 60)]
    framed = unit((vectors + frames).astype(np.float32))
    config = ClassifyConfig(epochs=30, learning_rate=0.01, batch_size=128)
    _, figures = classifier.fit(framed, labels, config)
    assert figures["repetition"] > classifier.REPEATED
    assert "losses" not in figures
    assert "template" in figures["untrained"]


def test_texts_that_are_all_their_own_do_not_pass_for_a_template() -> None:
    _, figures = classifier.fit(*noisy(60, 6), ClassifyConfig(epochs=1))
    assert abs(figures["repetition"]) < 0.1


def test_a_centroid_depends_on_its_own_texts_alone() -> None:
    vectors, labels = noisy(5, 3)
    whole = classifier.centroids(vectors, labels, 5)
    fewer = classifier.centroids(vectors[labels < 3], labels[labels < 3], 5)
    assert np.allclose(whole[:3], fewer[:3])
    assert not fewer[3:].any()


def test_centroids_of_some_rows_are_those_of_these_texts() -> None:
    vectors, labels = noisy(5, 3)
    rows = np.flatnonzero(np.arange(len(labels)) % 3 > 0)
    assert np.allclose(
        classifier.centroids(vectors, labels, 5, rows), classifier.centroids(vectors[rows], labels[rows], 5)
    )


def test_centroids_of_many_texts_are_summed_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, labels = noisy(5, 3)
    whole = classifier.centroids(vectors, labels, 6)
    monkeypatch.setattr(projection, "_ROWS", 2)
    assert np.allclose(classifier.centroids(vectors, labels, 6), whole, atol=1e-6)
    assert np.allclose(whole[2], vectors[labels == 2].mean(axis=0), atol=1e-6)


def test_bad_vectors_are_refused_with_their_row() -> None:
    vectors = np.ones((3, 4), dtype=np.float32)
    vectors[1, 2] = np.nan
    with pytest.raises(InputError, match="vector 1 of 3"):
        classifier.fit(vectors, np.array([0, 1, 2]), ClassifyConfig())


def test_labels_that_do_not_fit_the_vectors_are_refused() -> None:
    vectors = np.ones((3, 4), dtype=np.float32)
    with pytest.raises(InputError, match="3 vectors for 2 labels"):
        classifier.fit(vectors, np.array([0, 1]), ClassifyConfig())
    with pytest.raises(InputError, match="label -1"):
        classifier.fit(vectors, np.array([0, -1, 1]), ClassifyConfig())


@pytest.mark.parametrize("shape", [(4, 5), (4,), (2, 2, 4)])
def test_vectors_of_another_dimension_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"fitted on \(n, 4\): another encoder"):
        classifier.check(np.ones(shape, dtype=np.float32), 4)


def test_two_products_are_told_apart() -> None:
    vectors, labels = noisy(2, 40)
    learned, figures = classifier.fit(vectors, labels, ClassifyConfig(epochs=5, learning_rate=0.01))
    assert figures["held_out"] == 2
    assert learned.apply(vectors).shape == vectors.shape


def test_texts_without_direction_spoil_nothing() -> None:
    vectors, labels = noisy(60, 6)
    vectors[labels == 3] = 0
    vectors[0] = 0
    config = ClassifyConfig(epochs=30, learning_rate=0.01, batch_size=128)
    learned, figures = classifier.fit(vectors, labels, config)
    assert learned.weight is not None
    assert np.isfinite(figures["losses"]).all()
    assert np.isfinite(learned.apply(vectors)).all()
    assert not learned.apply(vectors)[0].any()


def test_half_precision_and_no_texts_at_all_are_taken() -> None:
    vectors, labels = noisy(6, 4)
    _, figures = classifier.fit(vectors.astype(np.float16), labels, ClassifyConfig(epochs=1))
    assert figures["texts"] == 24
    _, figures = classifier.fit(vectors[:0], labels[:0], ClassifyConfig(epochs=1))
    assert figures["projection"] == "identity"
