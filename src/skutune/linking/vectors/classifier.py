"""The classifier: which product an embedded text speaks of.

One linear projection is shared by all products; a product's prototype is the normalised projection of the mean of its
own vectors. So the parameters do not grow with the catalog (LogisticRegression would need one row a product), and a
product comes or goes without training. The last text of each product is held out, and a projection is kept only where
it names more of them right than the untrained vectors do, by more than chance would.

Two projections are tried. The whitening (projection.py) has a closed form. Training (softmax.py) maximises the
likelihood of a text's own product under a softmax over cosines with a learned temperature, as in prototypical networks
(Snell et al., 2017); a text is taken out of its own product's prototype while it is trained on, or it would be its own
answer. It ends where an epoch names no more held-out texts right than the ones before.

Where a product's texts are a template filled in, nothing is trained: held-out ones are easy for whoever has learned the
templates, so that training always seems to pay. Over 49,688 products with a name and three template texts, an epoch at
a rate of 0.001 took the accuracy on a fourth template from 96.9 % to 97.5 %, but on an LLM's descriptions of 60
products, and their first sentences, from 23 % to 21 %, and the right product among ten from 68 % to 55 %. Whitening
moves these little (with five templates, from 25 % to 26 % and from 68 % to 71 %); it tells apart what looks alike: of
4,122 products whose names share their words it names 88 % right by name, and the plain means 82 %. Templates are known
by their repetition: what sets a text apart from its product's others is the same in all products.
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

HELD_OUT_FROM = 3  # texts of a product: with fewer, holding one out leaves a prototype of one text
MEASURED = 4000  # held-out texts that are looked up at most
PATIENCE = 2  # epochs without a better one that end the training
_PATIENT = 200  # batches without a better epoch that it takes as well: epochs of a small catalog are short
REPEATED = 0.3  # repetition that tells a template: they measure 0.57 to 0.70, an LLM's texts 0.07 to 0.16
_CELLS = 1 << 24  # of a similarity matrix at the same time: 64 MiB

Flags = NDArray[np.bool_]


def fit(
    vectors: Floats, labels: Ints, config: ClassifyConfig, on_epoch: Callable[[int], None] | None = None
) -> tuple[Projection, dict[str, Any]]:
    """Find the projection, or keep the identity where none pays.

    Args:
        vectors: unit vectors of texts, shape (n, d).
        labels: the product of each text, shape (n,), in [0, number of products).
        config: epochs at most, learning rate, batch size, seed.
        on_epoch: called after each epoch with the number of finished epochs.

    Returns:
        The projection, and figures: held-out top-1 accuracy of the projection, of the nearest centroid and of the exact
        nearest neighbour, the loss and accuracy of each epoch, which projection was kept, and why.

    Raises:
        InputError: a vector is not finite, or vectors and labels do not fit each other.
    """
    vectors = _checked(vectors, labels)
    held = held_out(labels)
    kept = np.flatnonzero(~held)
    figures: dict[str, Any] = {"texts": len(labels), "products": len(np.unique(labels)), "held_out": int(held.sum())}
    identity = Projection(None)
    if not held.any():
        return identity, figures | _verdict("too few texts a product to hold one out")
    trial = _Trial(vectors, labels, kept, _some(np.flatnonzero(held), config.seed))
    figures |= {"measured": len(trial.asked), "accuracy_neighbour": trial.neighbour()}
    untrained = trial.right(identity)
    figures["accuracy_centroid"] = float(untrained.mean())
    if config.epochs == 0 or figures["products"] < 2:
        return identity, figures | _verdict("no epochs, or fewer than two products")
    best, right, verdict = identity, untrained, _verdict("nothing named more held-out texts right than chance might")
    white = whitened(vectors, labels, kept)
    named = trial.right(white)
    figures |= {"accuracy_whitened": float(named.mean()), "repetition": trial.repetition()}
    if _pays(named, right):
        best, right, verdict = white, named, _verdict("it named more held-out texts right", "whitened")
    if figures["repetition"] > REPEATED:
        return best, figures | verdict | {"untrained": "texts are a template filled in, which training would learn"}
    trained, named, epochs = _best_epoch(trial, config, on_epoch)
    figures |= {"accuracy_trained": float(named.mean()), **epochs}
    if _pays(named, right):
        best, verdict = trained, _verdict("training named more held-out texts right", "trained")
    return best, figures | verdict


def held_out(labels: Ints) -> Flags:
    """The last text of each product that has at least HELD_OUT_FROM, shape (n,).

    Texts come in the order of their making, so that this one is of the same kind in most products, and a kind that is
    not trained on.
    """
    backwards = labels[::-1]
    _, last, counts = np.unique(backwards, return_index=True, return_counts=True)
    chosen = np.zeros(len(labels), dtype=bool)
    chosen[len(labels) - 1 - last[counts >= HELD_OUT_FROM]] = True
    return chosen


@dataclass(frozen=True, slots=True)
class _Trial:
    """Held-out texts, `asked`, that are looked up among prototypes made of other texts, `kept`; both are rows."""

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
        """How much alike what sets these texts apart from their products' others is, from product to product.

        1: the same in all products; 0: as different as chance. The mean inner product of two of these differences over
        their mean square.
        """
        means = centroids(self.vectors, self.labels, int(self.labels.max()) + 1, self.kept)
        apart = (self.vectors[self.asked] - means[self.labels[self.asked]]).astype(np.float64)
        squares, together = float((apart**2).sum()), float((apart.sum(axis=0) ** 2).sum())
        return (together - squares) / max((len(apart) - 1) * squares, 1e-12)

    def neighbour(self) -> float:
        """Share of texts whose nearest other text is their product's."""
        nearest = _nearest(self.vectors[self.asked], self.vectors[self.kept])
        return float((self.labels[self.kept][nearest] == self.labels[self.asked]).mean())


def _best_epoch(
    trial: _Trial, config: ClassifyConfig, on_epoch: Callable[[int], None] | None
) -> tuple[Projection, Flags, dict[str, list[float]]]:
    """The projection after the epoch that named most held-out texts right, which, and what each epoch came to."""
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
    """Whether what was won is more than what was lost, by more than a standard error of their difference."""
    won, lost = int((right & ~untrained).sum()), int((~right & untrained).sum())
    return won - lost > float(np.sqrt(won + lost))


def _verdict(why: str, kept: str = "identity") -> dict[str, str]:
    return {"projection": kept, "why": why}


def _checked(vectors: NDArray[Any], labels: Ints) -> Floats:
    if vectors.shape[:1] != labels.shape:
        raise InputError(f"{len(vectors)} vectors for {len(labels)} labels: each vector needs the product it speaks of")
    if len(labels) and labels.min() < 0:
        raise InputError(f"label {labels.min()}: labels are places of products, counted from 0")
    return check(vectors, vectors.shape[-1])


def _some(rows: Ints, seed: int) -> Ints:
    if len(rows) <= MEASURED:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, MEASURED, replace=False))


def _nearest(queries: Floats, targets: Floats) -> Ints:
    """The place of the nearest target of each query, shape (len(queries),)."""
    step = max(1, _CELLS // len(targets))
    parts = []
    for at in range(0, len(queries), step):
        parts.append(np.argmax(queries[at : at + step] @ targets.T, axis=1))
        heartbeat()
    return np.concatenate(parts).astype(np.int64)
