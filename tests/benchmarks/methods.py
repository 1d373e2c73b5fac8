"""The methods of linking that stand beside each other, simplest first; run, it measures one of them.

    python -m tests.benchmarks.methods NAME [--subset]      # prints JSON

Each is fitted on a split and answers texts with the places of the best products, best first.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skutune.config.schema import ClassifyConfig
from skutune.linking import fit_linker
from skutune.linking.vectors import classifier, train
from skutune.linking.vectors.classifier import Projection
from skutune.records import Embedding
from tests.benchmarks.split import Asked, Floats, Ints, Split, load_split, subset
from tests.grocery.vectors import encoder

COUNT = 10
_CELLS = 1 << 24  # similarities at the same time

Answer = Callable[[Asked], Ints]
"""The places of the COUNT best products of each text, shape (n, COUNT)."""


def neighbour(split: Split) -> Answer:
    """Exact nearest neighbour: the products of the nearest texts, each product once."""

    def answer(asked: Asked) -> Ints:
        rows = _best(asked.vectors, split.vectors, 8 * COUNT)
        return np.array([_distinct(split.labels[row]) for row in rows])

    return answer


def centroid(split: Split) -> Answer:
    """The nearest mean of a product's vectors."""
    return _prototypes(split, Projection(None))


def trained(split: Split) -> Answer:
    """The classifier with its default settings."""
    projection, _ = classifier.fit(split.vectors, split.labels, ClassifyConfig())
    return _prototypes(split, projection)


def regardless(split: Split) -> Answer:
    """One epoch of the classifier's training, kept whatever it did."""
    rows = np.arange(len(split.labels))
    projection, _ = next(train.train(split.vectors, split.labels, rows, ClassifyConfig()))
    return _prototypes(split, projection)


def words(split: Split) -> Answer:
    """TF-IDF over the words of the names."""
    return _tfidf(split, analyzer="word", token_pattern=r"[^\W_]+")


def characters(split: Split) -> Answer:
    """TF-IDF over the names' runs of two to four characters within words."""
    return _tfidf(split, analyzer="char_wb", ngram_range=(2, 4))


def regression(split: Split) -> Answer:
    """scikit-learn's LogisticRegression."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=100, max_iter=100).fit(split.vectors, split.labels)
    return lambda asked: model.classes_[np.argsort(-model.decision_function(asked.vectors), axis=1)[:, :COUNT]]


def linker(split: Split) -> Answer:
    """The whole linker, with its words."""
    fitted, _ = fit_linker(split.products, embeddings(split), ClassifyConfig(), encoder())
    places = {product.id: place for place, product in enumerate(split.products)}

    def answer(asked: Asked) -> Ints:
        found = fitted.top(asked.texts, asked.vectors, COUNT)
        return np.array([_filled([places[one.id] for one in each]) for each in found])

    return answer


METHODS: dict[str, Callable[[Split], Answer]] = {
    "nearest neighbour": neighbour,
    "nearest centroid": centroid,
    "TF-IDF, words": words,
    "TF-IDF, characters": characters,
    "LogisticRegression": regression,
    "classifier": trained,
    "linker": linker,
    "trained regardless": regardless,
}


def measure(name: str, split: Split) -> dict[str, Any]:
    """Seconds to fit, each test's top-1, top-10 and milliseconds a text, and the peak of this process in MiB.

    The peak before the fit is what the split takes that all methods are given.
    """
    before = _peak_mib()
    started = time.perf_counter()
    answer = METHODS[name](split)
    figures: dict[str, Any] = {"fit s": time.perf_counter() - started, "tests": []}
    for asked in split.tests:
        started = time.perf_counter()
        found = answer(asked)
        spent = 1000 * (time.perf_counter() - started) / len(asked.texts)
        right = np.array([np.isin(row, each) for row, each in zip(found, asked.right, strict=True)])
        shares = {"top-1": 100 * right[:, 0].mean(), "top-10": 100 * right.any(axis=1).mean()}
        figures["tests"].append({"kind": asked.kind, "what": asked.what, **shares, "ms": spent})
    return figures | {"peak before MiB": before, "peak MiB": _peak_mib()}


def _prototypes(split: Split, projection: Projection) -> Answer:
    means = classifier.centroids(split.vectors, split.labels, len(split.products))
    prototypes = projection.apply(means)
    return lambda asked: _best(projection.apply(asked.vectors), prototypes, COUNT)


def _tfidf(split: Split, **settings: Any) -> Answer:
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(**settings, dtype=np.float32)
    names = vectorizer.fit_transform([product.name for product in split.products]).T.tocsr()

    def answer(asked: Asked) -> Ints:
        queries = vectorizer.transform(asked.texts)
        step = max(1, _CELLS // names.shape[1])
        parts = [(queries[at : at + step] @ names).toarray() for at in range(0, len(asked.texts), step)]
        return np.concatenate([_ranked(part, COUNT) for part in parts])

    return answer


def _best(queries: Floats, targets: Floats, count: int) -> Ints:
    step = max(1, _CELLS // len(targets))
    blocks = (queries[at : at + step] @ targets.T for at in range(0, len(queries), step))
    return np.concatenate([_ranked(block, count) for block in blocks])


def _ranked(scores: Floats, count: int) -> Ints:
    """The places of the highest scores of each row, best first; of equals the first."""
    places = np.sort(np.argpartition(-scores, count, axis=1)[:, :count], axis=1)
    order = np.argsort(-np.take_along_axis(scores, places, axis=1), axis=1, kind="stable")
    return np.take_along_axis(places, order, axis=1)


def _distinct(labels: Ints) -> Ints:
    return _filled(list(dict.fromkeys(labels.tolist())))


def _filled(places: Sequence[int]) -> Ints:
    """COUNT places; -1, which is no product, where there are fewer."""
    return np.array([*places, *[-1] * COUNT][:COUNT], dtype=np.int64)


def embeddings(split: Split) -> Iterator[Embedding]:
    rows = zip(split.labels.tolist(), split.kinds, split.vectors, strict=True)
    for number, (label, kind, vector) in enumerate(rows):
        yield Embedding(split.products[label].id, kind, number, vector, "")


def _peak_mib() -> float:
    """Of this process alone: what getrusage tells begins with the parent's."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=METHODS)
    parser.add_argument("--subset", action="store_true")
    options = parser.parse_args()
    whole = load_split()
    print(json.dumps(measure(options.name, subset(whole) if options.subset else whole)))
