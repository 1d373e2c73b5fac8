"""Fits a linker (classifier, lexical index, cosine scale and calibration) and measures the quality of each part."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from skutune.config.schema import ClassifyConfig
from skutune.engines.base import Encoder
from skutune.errors import InputError
from skutune.linking import calibration, synthetic_names
from skutune.linking.calibration import Calibration
from skutune.linking.features import Features
from skutune.linking.linker import Linker
from skutune.linking.synthetic_names import LabelledQueries
from skutune.linking.vectors import classifier
from skutune.linking.vectors.classifier import Floats, Ints, Projection
from skutune.linking.vectors.cosine_scale import CosineScale
from skutune.records import Embedding, Product

TESTED = 0.3  # share of products whose names are held out to evaluate the calibration
LEAST = 0.005  # minimum improvement of the log loss; a smaller one is noise
FEWEST = 50  # minimum number of positive and of negative held-out names to evaluate a calibration


def fit_linker(
    products: Sequence[Product], embeddings: Iterable[Embedding], config: ClassifyConfig, encoder: Encoder
) -> tuple[Linker, dict[str, Any]]:
    """Fit a linker to a catalog.

    Args:
        products: the catalog, each id once.
        embeddings: vectors of the products' names, descriptions and variants. A product without a name's vector gets
            one from the encoder; vectors of unknown products are left out and counted.
        config: the classifier's training.
        encoder: the encoder of the embeddings; it also encodes the synthetic names for the calibration.

    Returns:
        The linker, and its figures: `classifier`, `calibration`, and how many `products`, `vectors` and `strays`.

    Raises:
        InputError: no products, vectors of another dimension than the encoder's, or not finite.
    """
    if not products:
        raise InputError("no products to link to: the catalog is empty")
    names, texts, labels, strays = _vectors(products, embeddings, encoder)
    projection, classified = classifier.fit(texts, labels, config)
    linker = build_linker(
        products,
        names,
        texts,
        labels,
        projection,
        CosineScale.measure(encoder, projection),
        calibration.prior(len(products)),
    )
    queries = synthetic_names.sample_queries(products, config.seed)
    rounds = synthetic_names.label_queries(queries, linker.evidence, linker.calibration, encoder)
    fitted, calibrated = calibrate(rounds, linker.calibration, config.seed)
    figures = {"products": len(products), "vectors": len(texts), "strays": strays}
    return replace(linker, calibration=fitted), figures | {"classifier": classified, "calibration": calibrated}


def build_linker(
    products: Sequence[Product],
    names: Floats,
    texts: Floats,
    labels: Ints,
    projection: Projection,
    ruler: CosineScale,
    judge: Calibration,
) -> Linker:
    """Build a linker from a trained projection and calibration.

    Args:
        names: vectors of the product names, shape (n, d).
        texts: vectors of all texts, shape (m, d).
        labels: the row of each text's product, shape (m,).
    """
    prototypes = projection.apply(classifier.centroids(texts, labels, len(products)))
    evidence = Features.build(products, names, prototypes, projection, ruler)
    return Linker([product.id for product in products], [product.name for product in products], evidence, judge)


def calibrate(rounds: LabelledQueries, prior: Calibration, seed: int) -> tuple[Calibration, dict[str, Any]]:
    """Adapt the calibration to a catalog by Platt scaling, if that lowers the log loss on held-out products."""
    figures: dict[str, Any] = {"retrieved": rounds.retrieved, "names": len(rounds.odds)}
    sources = np.unique(rounds.product)
    chosen = np.random.default_rng(seed).random(len(sources)) < TESTED
    tested = np.isin(rounds.product, sources[chosen])
    if min(int((tested & rounds.right).sum()), int((tested & ~rounds.right).sum())) < FEWEST:
        return prior, figures | {"kept": "prior", "why": "the catalog has too few synthetic names to adapt the prior"}
    bias = calibration.load_synthetic_bias()
    start = bias.scale, bias.shift
    fitted = calibration.fit(rounds.odds[~tested], rounds.right[~tested], start=start)
    odds, right = rounds.odds[tested], rounds.right[tested]
    losses = {
        "prior": _log_loss(bias.scale * odds + bias.shift, right),
        "moved": _log_loss(fitted[0] * odds + fitted[1], right),
    }
    kept, why = prior, "the prior is as good on names of held-out products"
    scale, shift = 1.0, 0.0
    if losses["moved"] < losses["prior"] - LEAST and fitted[0] > 0:
        scale, shift = bias.beyond(*fitted)
        kept, why = prior.scaled(scale, shift), "it is better than the prior on names of held-out products"
    p = calibration.sigmoid(scale * odds + shift)
    figures |= {"log_loss": losses, "scale": scale, "shift": shift, "kept": "prior" if kept is prior else "moved"}
    curves = {
        "reliability": calibration.reliability(p, right),
        "coverage": calibration.coverage(p, right, kept),
    }
    return kept, figures | {"why": why} | curves


def _log_loss(odds: Floats, right: Any) -> float:
    """The mean negative log-likelihood of the labels."""
    return float(np.mean(np.logaddexp(0, odds) - right * odds))


def _vectors(
    products: Sequence[Product], embeddings: Iterable[Embedding], encoder: Encoder
) -> tuple[Floats, Floats, Ints, int]:
    """Vectors of names (n, d), of all texts (m, d), the texts' products (m,), and how many belong to no product."""
    places = {product.id: place for place, product in enumerate(products)}
    names = np.zeros((len(products), encoder.dimension), dtype=np.float32)
    named = np.zeros(len(products), dtype=bool)
    rows: list[Floats] = []
    labels: list[int] = []
    strays = 0
    for embedding in embeddings:
        place = places.get(embedding.product_id)
        if place is None:
            strays += 1
            continue
        vector = classifier.check(embedding.vector[None, :], encoder.dimension)
        if embedding.kind == "name":
            names[place], named[place] = vector[0], True
        rows.append(vector)
        labels.append(place)
    bare = np.flatnonzero(~named)
    if len(bare):
        missing = encoder.encode([products[place].name for place in bare.tolist()])
        names[bare] = classifier.check(missing, encoder.dimension)
        rows.append(names[bare])
        labels.extend(bare.tolist())
    return names, classifier.unit(np.concatenate(rows)), np.array(labels, dtype=np.int64), strays
