"""Trains the projection by a softmax over products: gradient descent, on CPU or GPU.

The softmax of a batch runs over the batch's products and their nearest neighbours as hard negatives; the other
products of a large catalog are already separated and contribute no gradient. All data is moved to the device once, and
a batch is processed in chunks, so that memory is bounded for any batch size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from skutune.config.schema import ClassifyConfig
from skutune.linking.vectors.projection import Floats, Ints, Projection, centroids
from skutune.process.watchdog import heartbeat

ALL_CLASSES = 4096  # up to here the softmax runs over every product
NEIGHBOURS = 7
_CELLS = 1 << 23  # cosines computed together: 32 MiB, and as much again for each intermediate result of the loss


def train(vectors: Floats, labels: Ints, rows: Ints, config: ClassifyConfig) -> Iterator[tuple[Projection, float]]:
    """Yield the projection and the mean loss after each epoch. Training starts at the identity.

    Args:
        vectors: unit vectors of texts, shape (n, d).
        labels: the product of each text, shape (n,).
        rows: the texts of the prototypes, shape (m,); those of products with two or more are trained on.
        config: epochs, learning rate, batch size, seed.
    """
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    generator = torch.Generator(device).manual_seed(config.seed)
    texts = _Texts.load(vectors, labels, rows, device)
    weight = torch.nn.Parameter(torch.eye(vectors.shape[1], device=device))
    # Cosines in a softmax need a temperature near 1/20.
    log_scale = torch.nn.Parameter(torch.tensor(3.0, device=device))
    optimizer = torch.optim.Adam([weight, log_scale], lr=config.learning_rate)
    for _ in range(config.epochs):
        total = torch.zeros((), device=device)
        order = torch.randperm(len(texts.rows), device=device, generator=generator)
        for batch in texts.rows[order].split(config.batch_size):
            optimizer.zero_grad()
            for piece in batch.split(texts.piece):
                loss = texts.loss(piece, weight, log_scale)
                (loss / len(batch)).backward()
                total += loss.detach()
                heartbeat()
            optimizer.step()
        yield Projection(weight.detach().cpu().numpy().astype(np.float32)), total.item() / len(texts.rows)


@dataclass(frozen=True, slots=True)
class _Texts:
    """The training data as tensors on one device.

    `vectors` (n, d) and `labels` (n,) of all texts; `rows` (m,), those with another text of their product; `means`
    (c, d) and `counts` (c,) of each product's texts; `rivals` (c, NEIGHBOURS + 2), None
    where all are.
    """

    vectors: Any
    labels: Any
    rows: Any
    means: Any
    counts: Any
    rivals: Any

    @classmethod
    def load(cls, vectors: Floats, labels: Ints, rows: Ints, device: str) -> _Texts:
        import torch

        classes = int(labels.max()) + 1
        counts = np.bincount(labels[rows], minlength=classes)
        means = torch.from_numpy(centroids(vectors, labels, classes, rows)).to(device)
        return cls(
            torch.from_numpy(vectors).to(device),
            torch.from_numpy(labels).to(device),
            torch.from_numpy(trainable(labels, rows)).to(device),
            means,
            torch.from_numpy(counts).to(device),
            _rivals(means) if classes > ALL_CLASSES else None,
        )

    @property
    def piece(self) -> int:
        """Number of texts per chunk."""
        if self.rivals is None:
            return max(1, _CELLS // len(self.means))
        return int((_CELLS / self.rivals.shape[1]) ** 0.5)

    def loss(self, rows: Any, weight: Any, log_scale: Any) -> Any:
        """Summed cross-entropy of texts over products; a text is left out of its own product's prototype."""
        import torch
        from torch.nn.functional import cross_entropy, normalize

        x, own = self.vectors[rows], self.labels[rows]
        classes = self._classes(own)
        projected = normalize(x @ weight, dim=1)
        prototypes = normalize(self.means[classes] @ weight, dim=1)
        rest = self.counts[own].unsqueeze(1).float()
        without = normalize(((self.means[own] * rest - x) / (rest - 1)) @ weight, dim=1)
        place = torch.searchsorted(classes, own)
        mine = (projected * without).sum(dim=1, keepdim=True)
        cosines = (projected @ prototypes.T).scatter(1, place.unsqueeze(1), mine)
        return cross_entropy(cosines * log_scale.exp(), place, reduction="sum")

    def _classes(self, own: Any) -> Any:
        """The products of the softmax, ascending, including `own`."""
        import torch

        if self.rivals is None:
            return torch.arange(len(self.means), device=own.device)
        return torch.unique(self.rivals[own])


def trainable(labels: Ints, rows: Ints) -> Ints:
    """The texts whose product has at least two of them, so that a prototype remains without the text."""
    counts = np.bincount(labels[rows])
    return rows[counts[labels[rows]] >= 2]


def _rivals(means: Any) -> Any:
    """The nearest products of each product, and the product itself, shape (c, NEIGHBOURS + 2).

    One buffer is reused for the cosines of all chunks: glibc does not always reuse the freed memory of aligned
    allocations, and 300 buffers of 32 MiB took 7 GiB.
    """
    import torch
    from torch.nn.functional import normalize

    targets = normalize(means, dim=1)
    rivals = torch.empty((len(targets), NEIGHBOURS + 2), dtype=torch.int64, device=targets.device)
    step = max(1, _CELLS // len(targets))
    cosines = torch.empty((step, len(targets)), device=targets.device)
    for at in range(0, len(targets), step):
        part = targets[at : at + step]
        torch.mm(part, targets.T, out=cosines[: len(part)])
        rivals[at : at + step, :-1] = cosines[: len(part)].topk(NEIGHBOURS + 1, dim=1).indices
        heartbeat()
    rivals[:, -1] = torch.arange(len(targets))  # with duplicates, a product may not be among its own nearest
    return rivals
