"""Fits a linker: classifier, lexical index, ruler and calibration, each with the figures that say how good it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from skutune.config import ClassifyConfig
from skutune.engines.base import Encoder
from skutune.errors import InputError
from skutune.linking import calibration, classifier, queries
from skutune.linking.calibration import Calibration
from skutune.linking.classifier import Floats, Ints, Projection
from skutune.linking.evidence import Evidence, Ruler
from skutune.linking.lexical import LexicalIndex
from skutune.linking.linker import Linker
from skutune.linking.queries import Pairs
from skutune.records import Embedding, Product

TESTED = 0.2  # share of products whose pairs measure the calibration and do not make it
WANTED = 0.9  # precision at which the figures are told
FEWEST = 50  # right and wrong pairs of other products that it takes to test a calibration


def fit(
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
    linker = build(products, names, texts, labels, projection, Ruler.measure(encoder, projection), calibration.prior())
    pairs = queries.label(queries.ask(products, config.seed), products, linker.evidence, encoder)
    fitted, calibrated = calibrate(pairs, linker.calibration, config.seed)
    figures = {"products": len(products), "vectors": len(texts), "strays": strays}
    return replace(linker, calibration=fitted), figures | {"classifier": classified, "calibration": calibrated}


def build(
    products: Sequence[Product],
    names: Floats,
    texts: Floats,
    labels: Ints,
    projection: Projection,
    ruler: Ruler,
    judge: Calibration,
) -> Linker:
    """A linker of a catalog from what was learned before: nothing is trained.

    `names` (n, d) are the vectors of the names, `texts` (m, d) those of all texts, `labels` (m,) their products.
    """
    prototypes = projection.apply(classifier.centroids(texts, labels, len(products)))
    evidence = Evidence(LexicalIndex.build(products), names, prototypes, projection, ruler)
    return Linker([product.id for product in products], [product.name for product in products], evidence, judge)


def calibrate(
    pairs: Pairs, prior: Calibration, seed: int, precision: float = calibration.PRIOR_PRECISION
) -> tuple[Calibration, dict[str, Any]]:
    """Fit P(acceptable); with pairs enough to tell, it is kept only if it betters the prior on unseen products."""
    figures: dict[str, Any] = {"retrieved": pairs.retrieved, "pairs": len(pairs.acceptable)}
    sources = np.unique(pairs.product)
    chosen = np.random.default_rng(seed).random(len(sources)) < TESTED
    tested = np.isin(pairs.product, sources[chosen])
    if min(int((tested & pairs.acceptable).sum()), int((tested & ~pairs.acceptable).sum())) >= FEWEST:
        trial = calibration.fit(*_part(pairs, ~tested), prior, precision)
        figures |= {"prior": _quality(prior, pairs, tested), "fitted": _quality(trial, pairs, tested)}
        if figures["fitted"]["log_loss"] >= figures["prior"]["log_loss"]:
            return prior, figures | {"kept": "prior", "why": "the prior judges unseen products no worse"}
        why = "it judges unseen products better than the prior"
    else:
        why = "too few pairs to compare with the prior, which they hardly move"
    fitted = calibration.fit(*_part(pairs, np.ones(len(tested), dtype=bool)), prior, precision)
    if len(pairs.rounds) >= FEWEST:
        fitted = replace(fitted, margin=calibration.margin_of(_shortfalls(pairs, fitted)))
    return fitted, figures | {"kept": "fitted", "why": why, "margin": fitted.margin}


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
        names[bare] = encoder.encode([products[place].name for place in bare.tolist()])
        rows.append(names[bare])
        labels.extend(bare.tolist())
    return names, classifier.unit(np.concatenate(rows)), np.array(labels, dtype=np.int64), strays


def _part(pairs: Pairs, rows: np.ndarray[Any, np.dtype[np.bool_]]) -> tuple[Floats, Any, Floats]:
    return pairs.features[rows], pairs.acceptable[rows], pairs.weights[rows]


def _quality(judge: Calibration, pairs: Pairs, rows: Any) -> dict[str, Any]:
    features, acceptable, weights = _part(pairs, rows)
    literal = np.zeros(len(features), dtype=bool)  # the estimate itself is measured, not the rule
    p = calibration.probabilities(judge.log_odds(features), literal)
    return calibration.quality(p, acceptable, weights, WANTED)


def _shortfalls(pairs: Pairs, judge: Calibration) -> Floats:
    """How far each right product's log-odds lie below those of its name's best candidate."""
    odds = [(judge.log_odds(features), place) for features, place in pairs.rounds]
    return np.array([values.max() - values[place] for values, place in odds], dtype=np.float32)
