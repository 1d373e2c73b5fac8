"""The classifier: maps an embedded text to its product.

All products share one linear projection; the prototype of a product is the normalised projection of the mean of its
vectors. The number of parameters is therefore independent of the catalog (LogisticRegression would need a row per
product), and products are added and removed without training. The last text of each product is held out, and a
projection is kept only if it classifies significantly more of them correctly than the untrained vectors.

Two projections are compared. Whitening (projection.py) has a closed form. Training (train.py) maximises the likelihood
of a text's product under a softmax over cosines with a learned temperature, as in prototypical networks (Snell et al.,
2017), with each text left out of its own prototype, and stops early on held-out accuracy.

Texts filled into templates are not trained on: the held-out text then follows a known template, and training always
seems to help. Over 49,688 products with a name and three template texts, one epoch at a learning rate of 0.001 raised
the accuracy on a fourth template from 96.9 % to 97.5 %, but lowered it on an LLM's descriptions of 60 products and
their first sentences from 23 % to 21 %, and the recall at 10 from 68 % to 55 %. Whitening changes little (with five
templates, from 25 % to 26 % and from 68 % to 71 %) and separates similar names: of 4,122 products whose names share
their words it identifies 88 % by name, where plain means identify 82 %. Templates are detected by their repetition: the
offset of a text from its product's mean is similar for all products.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skutune.config.schema import ClassifyConfig
from skutune.errors import InputError
from skutune.linking.vectors.projection import Floats, Ints, Projection, centroids, check, unit, whitened
from skutune.process.watchdog import heartbeat

__all__ = ["Floats", "Ints", "Projection", "centroids", "check", "fit", "held_out", "unit"]

HELD_OUT_FROM = 3  # minimum number of texts of a product to hold one out
MEASURED = 4000  # maximum number of held-out texts to evaluate
PATIENCE = 2  # epochs without improvement before training stops
_PATIENT = 200  # minimum number of batches without improvement: epochs of a small catalog are short
REPEATED = 0.3  # repetition above which texts are templates, which have 0.57 to 0.70; LLM texts have 0.07 to 0.16
_CELLS = 1 << 24  # elements of a similarity matrix computed together: 64 MiB

Flags = NDArray[np.bool_]


def fit(
    vectors: Floats, labels: Ints, config: ClassifyConfig, on_epoch: Callable[[int], None] | None = None
) -> tuple[Projection, dict[str, Any]]:
    """Fit the projection, or keep the identity if none improves on it.

    Args:
        vectors: unit vectors of texts, shape (n, d).
        labels: the product of each text, shape (n,), in [0, number of products).
        config: maximum number of epochs, learning rate, batch size, seed.
        on_epoch: called after each epoch with the number of completed epochs.

    Returns:
        The projection, and metrics: held-out top-1 accuracy of the projection, of the nearest centroid and of the exact
        nearest neighbour, loss and accuracy of each epoch, which projection was kept, and why.

    Raises:
        InputError: a vector is not finite, or the numbers of vectors and labels differ.
    """
    vectors = _checked(vectors, labels)
    held = held_out(labels)
    kept = np.flatnonzero(~held)
    figures: dict[str, Any] = {"texts": len(labels), "products": len(np.unique(labels)), "held_out": int(held.sum())}
    identity = Projection(None)
    if not held.any():
        return identity, figures | _verdict("too few texts per product to hold one out")
    trial = _Trial(vectors, labels, kept, _some(np.flatnonzero(held), config.seed))
    figures |= {"measured": len(trial.asked), "accuracy_neighbour": trial.neighbour()}
    untrained = trial.right(identity)
    figures["accuracy_centroid"] = float(untrained.mean())
    if config.epochs == 0 or figures["products"] < 2:
        return identity, figures | _verdict("no epochs, or fewer than two products")
    best, right, verdict = identity, untrained, _verdict("no projection improved held-out accuracy significantly")
    white = whitened(vectors, labels, kept)
    named = trial.right(white)
    figures |= {"accuracy_whitened": float(named.mean()), "repetition": trial.repetition()}
    if _pays(named, right):
        best, right, verdict = white, named, _verdict("whitening improved held-out accuracy", "whitened")
    if figures["repetition"] > REPEATED:
        return best, figures | verdict | {"untrained": "the texts follow templates, which training would overfit"}
    trained, named, epochs = _best_epoch(trial, config, on_epoch)
    figures |= {"accuracy_trained": float(named.mean()), **epochs}
    if _pays(named, right):
        best, verdict = trained, _verdict("training improved held-out accuracy", "trained")
    return best, figures | verdict


def held_out(labels: Ints) -> Flags:
    """The last text of each product that has at least HELD_OUT_FROM, shape (n,).

    Texts are in the order of their generation, so that the last one is of the same kind for most products, a kind that
    is not trained on.
    """
    backwards = labels[::-1]
    _, last, counts = np.unique(backwards, return_index=True, return_counts=True)
    chosen = np.zeros(len(labels), dtype=bool)
    chosen[len(labels) - 1 - last[counts >= HELD_OUT_FROM]] = True
    return chosen


@dataclass(frozen=True, slots=True)
class _Trial:
    """Held-out texts (rows `asked`) that are classified with prototypes of the other texts (rows `kept`)."""

    vectors: Floats
    labels: Ints
    kept: Ints
    asked: Ints

    def right(self, projection: Projection) -> Flags:
        """Which texts' nearest prototype is their product's, shape (len(asked),)."""
        means = centroids(self.vectors, self.labels, int(self.labels.max()) + 1, self.kept)
        nearest = _nearest(projection.apply(self.vectors[self.asked]), projection.apply(means))
        return np.asarray(nearest == self.labels[self.asked])

    def repetition(self) -> float:
        """How similar the offsets of held-out texts from their products' means are across products.

        1: identical; 0: unrelated. The mean inner product of two offsets, divided by their mean square.
        """
        means = centroids(self.vectors, self.labels, int(self.labels.max()) + 1, self.kept)
        apart = (self.vectors[self.asked] - means[self.labels[self.asked]]).astype(np.float64)
        squares, together = float((apart**2).sum()), float((apart.sum(axis=0) ** 2).sum())
        return (together - squares) / max((len(apart) - 1) * squares, 1e-12)

    def neighbour(self) -> float:
        """Share of texts whose nearest other text belongs to their product."""
        nearest = _nearest(self.vectors[self.asked], self.vectors[self.kept])
        return float((self.labels[self.kept][nearest] == self.labels[self.asked]).mean())


def _best_epoch(
    trial: _Trial, config: ClassifyConfig, on_epoch: Callable[[int], None] | None
) -> tuple[Projection, Flags, dict[str, list[float]]]:
    """The projection of the epoch with the highest held-out accuracy, its correct texts, and losses and accuracies."""
    from skutune.linking.vectors.train import train

    patience = max(PATIENCE, _PATIENT * config.batch_size // max(len(trial.kept), 1))
    best: tuple[Projection, Flags] | None = None
    losses: list[float] = []
    accuracies: list[float] = []
    for projection, loss in train(trial.vectors, trial.labels, trial.kept, config):
        right = trial.right(projection)
        if best is None or right.mean() > best[1].mean():
            best = projection, right
        losses.append(loss)
        accuracies.append(float(right.mean()))
        if on_epoch is not None:
            on_epoch(len(losses))
        if len(accuracies) - int(np.argmax(accuracies)) > patience:
            break
    assert best is not None  # at least one epoch
    return *best, {"losses": losses, "accuracies": accuracies}


def _pays(right: Flags, untrained: Flags) -> bool:
    """Whether gains exceed losses by more than one standard error of their difference (as in McNemar's test)."""
    won, lost = int((right & ~untrained).sum()), int((~right & untrained).sum())
    return won - lost > float(np.sqrt(won + lost))


def _verdict(why: str, kept: str = "identity") -> dict[str, str]:
    return {"projection": kept, "why": why}


def _checked(vectors: NDArray[Any], labels: Ints) -> Floats:
    if vectors.shape[:1] != labels.shape:
        raise InputError(f"{len(vectors)} vectors for {len(labels)} labels: each vector needs its product")
    if len(labels) and labels.min() < 0:
        raise InputError(f"label {labels.min()}: labels are indices of products, from 0")
    return check(vectors, vectors.shape[-1])


def _some(rows: Ints, seed: int) -> Ints:
    if len(rows) <= MEASURED:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, MEASURED, replace=False))


def _nearest(queries: Floats, targets: Floats) -> Ints:
    """The index of the nearest target of each query, shape (len(queries),)."""
    step = max(1, _CELLS // len(targets))
    parts = []
    for at in range(0, len(queries), step):
        parts.append(np.argmax(queries[at : at + step] @ targets.T, axis=1))
        heartbeat()
    return np.concatenate(parts).astype(np.int64)
