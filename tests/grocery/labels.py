"""Which products a shopper would accept for a generic name: labels by hand, as rules over the catalog.

A file of labels is a JSON list. Each entry has a `name`, a `kind` (see KINDS) and `accept`, a list of clauses; a
product is acceptable where any clause holds. A clause may have `aisles` (the product's is one of them), `match` (a
regular expression that is found in the lower-cased name) and `not` (one that is not). `also` and `never` are ids that
the clauses miss. A name that nothing answers has no clauses: kind `stranger` where no grocer sells it, `absent` where a
grocer might and this one does not.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skutune.records import Product
from tests.grocery.catalog import catalog

FOLDER = Path(__file__).parent
KINDS = ("plain", "family", "brand", "order", "spelling", "synonym", "constraint", "absent", "stranger")
"""plain: a common name; family: one with very many answers; brand: with a brand; order: words in another order;
spelling: plural, British or joined; synonym: other words than the catalog's; constraint: a modifier that forbids."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A generic name, and which of the catalog's n products answer it, shape (n,)."""

    name: str
    kind: str
    acceptable: NDArray[np.bool_]


def load_labels(file: str) -> list[Labelled]:
    """The labels of one of the files beside this module, `fit.json` or `test.json`."""
    entries = json.loads((FOLDER / file).read_text(encoding="utf-8"))
    return [Labelled(entry["name"], entry["kind"], acceptable(entry)) for entry in entries]


def acceptable(entry: dict[str, Any]) -> NDArray[np.bool_]:
    """Which products an entry accepts. Raises ValueError for an entry that cannot be read or accepts by mistake."""
    if entry["kind"] not in KINDS or not entry.keys() <= {"name", "kind", "accept", "also", "never"}:
        raise ValueError(f"{entry['name']}: unknown kind or key")
    if any(not clause or not clause.keys() <= {"aisles", "match", "not"} for clause in entry["accept"]):
        raise ValueError(f"{entry['name']}: a clause needs aisles, match or not, and nothing else")
    unknown = {aisle for clause in entry["accept"] for aisle in clause.get("aisles", ())} - _aisles()
    if unknown:
        raise ValueError(f"{entry['name']}: no such aisle: {sorted(unknown)}")
    chosen = np.zeros(len(catalog()), dtype=bool)
    for clause in entry["accept"]:
        chosen |= np.array([_holds(clause, product) for product in catalog()])
    places = {product.id: place for place, product in enumerate(catalog())}
    chosen[[places[str(each)] for each in entry.get("also", ())]] = True
    chosen[[places[str(each)] for each in entry.get("never", ())]] = False
    if chosen.any() == (entry["kind"] in ("absent", "stranger")):
        raise ValueError(f"{entry['name']}: {int(chosen.sum())} products for a name of kind {entry['kind']}")
    return chosen


def _holds(clause: dict[str, Any], product: Product) -> bool:
    name = product.name.lower()
    if "aisles" in clause and product.attributes["aisle"] not in clause["aisles"]:
        return False
    if "match" in clause and not re.search(clause["match"], name):
        return False
    return "not" not in clause or not re.search(clause["not"], name)


@cache
def _aisles() -> frozenset[str]:
    return frozenset(product.attributes["aisle"] for product in catalog())


if __name__ == "__main__":
    import sys

    for entry in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")):
        if len(sys.argv) < 3 or entry["name"] in sys.argv[2:]:
            chosen = np.flatnonzero(acceptable(entry))
            shown = np.random.default_rng(0).permutation(chosen)[: 12 if len(sys.argv) < 3 else 80]
            print(f"{entry['name']} [{entry['kind']}] {len(chosen)}: ", "; ".join(catalog()[at].name for at in shown))
