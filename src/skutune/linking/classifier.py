"""The classifier: which product an embedded text speaks of.

One linear projection is shared by all products; a product's prototype is the normalised projection of the mean of its
own vectors. So the parameters do not grow with the catalog (LogisticRegression would need one row a product), and a
product comes or goes without training. Training maximises the likelihood of a text's own product under a softmax over
cosines with a learned temperature, as in prototypical networks (Snell et al., 2017); a text is taken out of its own
product's prototype while it is trained on, or it would be its own answer. In a large catalog the softmax runs over the
batch's products and their nearest neighbours: all others are told apart already.

Training is kept only where it pays: one text of each product is held out, and unless the projection names more of them
right than the untrained vectors do, the identity stays. Applying a projection needs numpy alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skutune.config import ClassifyConfig
from skutune.errors import InputError
from skutune.pulse import beat

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

HELD_OUT_FROM = 3  # texts of a product: with fewer, holding one out leaves a prototype of one text
MEASURED = 2000  # held-out texts that are looked up at most
ALL_CLASSES = 4096  # up to here the softmax runs over every product
NEIGHBOURS = 7
_CELLS = 1 << 24  # of a similarity matrix at the same time: 64 MiB


@dataclass(frozen=True, slots=True)
class Projection:
    """A linear map of unit vectors, shape (d, d), applied as `vectors @ weight`; None is the identity."""

    weight: Floats | None

    def apply(self, vectors: Floats) -> Floats:
        """Unit vectors, shape (n, d)."""
        return unit(vectors if self.weight is None else vectors @ self.weight)


def fit(vectors: Floats, labels: Ints, config: ClassifyConfig) -> tuple[Projection, dict[str, Any]]:
    """Train the projection, or keep the identity where training does not pay.

    Args:
        vectors: unit vectors of texts, shape (n, d), float32.
        labels: the product of each text, shape (n,), in [0, number of products).
        config: epochs, learning rate, batch size, seed.

    Returns:
        The projection, and figures: held-out top-1 accuracy of the projection, of the nearest centroid and of the exact
        nearest neighbour, which of them was kept, and why.

    Raises:
        InputError: a vector is not finite, or vectors and labels do not fit each other.
    """
    check(vectors, vectors.shape[-1])
    if vectors.shape[:1] != labels.shape:
        raise InputError(f"{len(vectors)} vectors for {len(labels)} labels: each vector needs the product it speaks of")
    held = held_out(labels, config.seed)
    kept = ~held
    figures: dict[str, Any] = {"texts": len(labels), "products": len(np.unique(labels)), "held_out": int(held.sum())}
    identity = Projection(None)
    if held.any():
        figures |= _accuracies(vectors, labels, held, config.seed)
    if config.epochs == 0 or figures["products"] < 2:
        return identity, figures | {"projection": "identity", "why": "no epochs, or fewer than two products"}
    if not held.any():
        return identity, figures | {"projection": "identity", "why": "too few texts a product to hold one out"}
    if not _trainable(labels[kept]).any():
        return identity, figures | {"projection": "identity", "why": "no product has two texts to train on"}
    trained, losses = _train(vectors[kept], labels[kept], config)
    accuracy = accuracy_of(trained, vectors, labels, held, config.seed)
    figures |= {"accuracy_trained": accuracy, "losses": losses}
    if accuracy <= figures["accuracy_centroid"]:
        return identity, figures | {"projection": "identity", "why": "training named no more held-out texts right"}
    return trained, figures | {"projection": "trained", "why": "training named more held-out texts right"}


def centroids(vectors: Floats, labels: Ints, classes: int) -> Floats:
    """The mean vector of each class, shape (classes, d); zero where a class has none."""
    order = np.argsort(labels, kind="stable")
    present, starts, counts = np.unique(labels[order], return_index=True, return_counts=True)
    means = np.zeros((classes, vectors.shape[1]), dtype=np.float32)
    if len(present):
        means[present] = np.add.reduceat(vectors[order], starts, axis=0) / counts[:, None]
    return means


def unit(vectors: Floats) -> Floats:
    """The rows at length 1; a zero row stays zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float32)


def check(vectors: NDArray[Any], dimension: int) -> Floats:
    """The vectors as float32. Raises InputError: not (n, dimension), or not finite."""
    if vectors.ndim != 2 or vectors.shape[1] != dimension:
        raise InputError(
            f"vectors of shape {vectors.shape}, but this linker was fitted on (n, {dimension}): another encoder"
        )
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        raise InputError(f"vector {bad[0]} of {len(vectors)} holds NaN or infinity: the encoder is at fault")
    return np.asarray(vectors, dtype=np.float32)


def held_out(labels: Ints, seed: int) -> NDArray[np.bool_]:
    """One random text of each product that has at least HELD_OUT_FROM; shape (n,)."""
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(labels))
    _, first, counts = np.unique(labels[order], return_index=True, return_counts=True)
    chosen = np.zeros(len(labels), dtype=bool)
    chosen[order[first[counts >= HELD_OUT_FROM]]] = True
    return chosen


def accuracy_of(projection: Projection, vectors: Floats, labels: Ints, held: NDArray[np.bool_], seed: int) -> float:
    """Share of held-out texts whose nearest prototype, made of the other texts, is their product's."""
    rows = _measured(held, seed)
    prototypes = projection.apply(centroids(vectors[~held], labels[~held], int(labels.max()) + 1))
    nearest = _nearest(projection.apply(vectors[rows]), prototypes)
    return float((nearest == labels[rows]).mean())


def _accuracies(vectors: Floats, labels: Ints, held: NDArray[np.bool_], seed: int) -> dict[str, Any]:
    rows = _measured(held, seed)
    neighbour = labels[~held][_nearest(vectors[rows], vectors[~held])]
    return {
        "accuracy_centroid": accuracy_of(Projection(None), vectors, labels, held, seed),
        "accuracy_neighbour": float((neighbour == labels[rows]).mean()),
        "measured": len(rows),
    }


def _measured(held: NDArray[np.bool_], seed: int) -> Ints:
    rows = np.flatnonzero(held)
    if len(rows) > MEASURED:
        rows = np.sort(np.random.default_rng(seed).choice(rows, MEASURED, replace=False))
    return rows


def _nearest(queries: Floats, targets: Floats) -> Ints:
    step = max(1, _CELLS // len(targets))
    parts = [np.argmax(queries[at : at + step] @ targets.T, axis=1) for at in range(0, len(queries), step)]
    return np.concatenate(parts).astype(np.int64)


def _trainable(labels: Ints) -> NDArray[np.bool_]:
    """Texts whose product has another text: a prototype remains when the text is taken out."""
    _, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return np.asarray(counts[inverse] >= 2)


def _train(vectors: Floats, labels: Ints, config: ClassifyConfig) -> tuple[Projection, list[float]]:
    """Gradient descent on the projection; returns it with the mean loss of each epoch."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(config.seed)
    means_array = centroids(vectors, labels, int(labels.max()) + 1)
    rivals = _rivals(means_array)
    counts = torch.from_numpy(np.bincount(labels, minlength=len(means_array))).to(device)
    means, texts = torch.from_numpy(means_array).to(device), torch.from_numpy(vectors).to(device)
    targets = torch.from_numpy(labels).to(device)
    weight = torch.nn.Parameter(torch.eye(vectors.shape[1], device=device))
    log_scale = torch.nn.Parameter(
        torch.tensor(3.0, device=device)
    )  # cosines in a softmax need a temperature near 1/20
    optimizer = torch.optim.Adam([weight, log_scale], lr=config.learning_rate)
    rows = torch.from_numpy(np.flatnonzero(_trainable(labels)))
    losses = []
    for _ in range(config.epochs):
        total = 0.0
        for batch in rows[torch.randperm(len(rows))].split(config.batch_size):
            beat()
            own = targets[batch.to(device)]
            classes = _classes(own, rivals, len(means))
            x = texts[batch.to(device)]
            rest = counts[own].unsqueeze(1).float()
            without = (means[own] * rest - x) / (rest - 1)
            loss = _loss(x, without, own, means, classes, weight, log_scale)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
        losses.append(total / len(rows))
    return Projection(weight.detach().cpu().numpy().astype(np.float32)), losses


def _loss(x: Any, without: Any, own: Any, means: Any, classes: Any, weight: Any, log_scale: Any) -> Any:
    """Mean cross-entropy of texts over classes; each text meets its product without itself.

    Shapes: x and without (b, d), own (b,), means (all classes, d), classes (c,) ascending and holding `own`.
    """
    import torch
    from torch.nn.functional import cross_entropy, normalize

    projected = normalize(x @ weight, dim=1)
    prototypes = normalize(means[classes] @ weight, dim=1)
    place = torch.searchsorted(classes, own)
    mine = (projected * normalize(without @ weight, dim=1)).sum(dim=1, keepdim=True)
    cosines = (projected @ prototypes.T).scatter(1, place.unsqueeze(1), mine)
    return cross_entropy(cosines * log_scale.exp(), place)


def _rivals(means: Floats) -> Ints | None:
    """The nearest products of each product, shape (classes, NEIGHBOURS); None where the softmax runs over all."""
    if len(means) <= ALL_CLASSES:
        return None
    targets = unit(means)
    step = max(1, _CELLS // len(targets))
    parts = []
    for at in range(0, len(targets), step):
        beat()
        cosines = targets[at : at + step] @ targets.T
        parts.append(np.argpartition(-cosines, NEIGHBOURS + 1, axis=1)[:, : NEIGHBOURS + 1])
    return np.concatenate(parts).astype(np.int64)


def _classes(own: Any, rivals: Ints | None, classes: int) -> Any:
    """The products that a batch's softmax runs over, ascending."""
    import torch

    if rivals is None:
        return torch.arange(classes, device=own.device)
    near = torch.from_numpy(rivals[own.cpu().numpy()]).to(own.device)
    return torch.unique(torch.cat([own, near.flatten()]))
