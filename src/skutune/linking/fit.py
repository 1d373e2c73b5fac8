"""Fits a linker: classifier, lexical index, ruler and calibration, each with the figures that say how good it is."""

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

TESTED = 0.3  # share of products whose names measure the calibration and do not make it
LEAST = 0.005  # of a log loss: what is gained by less is chance
FEWEST = 50  # right and wrong names of other products that it takes to test a calibration


def fit_linker(
    products: Sequence[Product], embeddings: Iterable[Embedding], config: ClassifyConfig, encoder: Encoder
) -> tuple[Linker, dict[str, Any]]:
    """Fit a linker to a catalog.

    Args:
        products: the catalog, each id once.
        embeddings: vectors of the products' names, descriptions and variants. A product without a name's vector gets
            one from the encoder; vectors of unknown products are left out and counted.
        config: the classifier's training.
        encoder: the encoder that made the vectors; it encodes made names for the calibration.

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
    asked = synthetic_names.sample_queries(products, config.seed)
    rounds = synthetic_names.label_queries(asked, linker.evidence, linker.calibration, encoder)
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
    """A linker of a catalog from what was learned before: nothing is trained.

    `names` (n, d) are the vectors of the names, `texts` (m, d) those of all texts, `labels` (m,) their products.
    """
    prototypes = projection.apply(classifier.centroids(texts, labels, len(products)))
    evidence = Features.build(products, names, prototypes, projection, ruler)
    return Linker([product.id for product in products], [product.name for product in products], evidence, judge)


def calibrate(rounds: LabelledQueries, prior: Calibration, seed: int) -> tuple[Calibration, dict[str, Any]]:
    """Move P(acceptable) to a catalog; with names enough to tell, only if that betters it on unseen products."""
    figures: dict[str, Any] = {"retrieved": rounds.retrieved, "names": len(rounds.odds)}
    sources = np.unique(rounds.product)
    chosen = np.random.default_rng(seed).random(len(sources)) < TESTED
    tested = np.isin(rounds.product, sources[chosen])
    if min(int((tested & rounds.right).sum()), int((tested & ~rounds.right).sum())) < FEWEST:
        return prior, figures | {"kept": "prior", "why": "too few names can be made of this catalog to move the prior"}
    made = calibration.load_synthetic_bias()
    start = made.scale, made.shift
    asked = calibration.fit(rounds.odds[~tested], rounds.right[~tested], start=start)
    odds, right = rounds.odds[tested], rounds.right[tested]
    losses = {
        "prior": _log_loss(made.scale * odds + made.shift, right),
        "moved": _log_loss(asked[0] * odds + asked[1], right),
    }
    kept, why = prior, "the prior judges names of unseen products no worse"
    scale, shift = 1.0, 0.0
    if losses["moved"] < losses["prior"] - LEAST and asked[0] > 0:
        scale, shift = made.beyond(*asked)
        kept, why = prior.scaled(scale, shift), "it judges names of unseen products better than the prior"
    p = calibration.sigmoid(scale * odds + shift)
    figures |= {"log_loss": losses, "scale": scale, "shift": shift, "kept": "prior" if kept is prior else "moved"}
    curves = {
        "reliability": calibration.reliability(p, right),
        "coverage": calibration.coverage(p, right, kept),
    }
    return kept, figures | {"why": why} | curves


def _log_loss(odds: Floats, right: Any) -> float:
    """The mean of -log of what was given to what is so."""
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
        made = encoder.encode([products[place].name for place in bare.tolist()])
        names[bare] = classifier.check(made, encoder.dimension)
        rows.append(names[bare])
        labels.extend(bare.tolist())
    return names, classifier.unit(np.concatenate(rows)), np.array(labels, dtype=np.int64), strays
