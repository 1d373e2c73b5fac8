"""The linker: from a name that a model wrote to the products it may stand for, each with P(acceptable), or to none.

A name's candidates are the nearest products by vector and by words; each is judged by all of its evidence. A name of a
product is that product, whatever the vectors say. Where no candidate reaches the wanted precision the answer is none:
a wrong product in the training data teaches worse than no product. Candidates nearly as good as the best are kept, for
whoever picks among equals.

Linking needs numpy alone, and is a pure function of names and vectors; fitting.py makes a linker.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skutune.config import LinkConfig
from skutune.errors import InputError
from skutune.linking import calibration, classifier
from skutune.linking.calibration import Calibration
from skutune.linking.classifier import Floats, Ints, Projection
from skutune.linking.evidence import LITERAL, Evidence, Ruler, Scale
from skutune.linking.lexical import LexicalIndex
from skutune.records import Candidate
from skutune.text import normalise_name


@dataclass(frozen=True, slots=True)
class Linked:
    """What a name stands for: near-ties best first, [] for no close product; `best_p` is told in either case."""

    candidates: list[Candidate]
    best_p: float


@dataclass(frozen=True, slots=True)
class Linker:
    """A fitted catalog. `ids` and `names` are the products', in the order of the evidence's rows."""

    ids: list[str]
    names: list[str]
    evidence: Evidence
    calibration: Calibration

    @property
    def dimension(self) -> int:
        """The length of the vectors that `link` takes."""
        return int(self.evidence.names.shape[1])

    def link(self, names: Sequence[str], vectors: NDArray[Any], link: LinkConfig) -> list[Linked]:
        """The products that each name may stand for.

        Args:
            names: n names.
            vectors: shape (n, dimension): the encoder's unit vector of `query_text` for each name.
            link: the wanted precision, and how many near-ties are kept.

        Raises:
            InputError: vectors of another shape, or not finite.
        """
        linked = []
        for ranked, odds, p, literal in self._ranked(names, vectors):
            best = literal.max(initial=0)
            near = odds >= odds.max(initial=-np.inf) - self.calibration.margin
            equal = literal == best if best else near
            kept = np.flatnonzero(equal & (p >= link.precision))[: link.candidates]
            linked.append(Linked(self._candidates(ranked[kept], p[kept]), float(p.max(initial=0))))
        return linked

    def top(self, names: Sequence[str], vectors: NDArray[Any], count: int) -> list[list[Candidate]]:
        """The best `count` products of each name with their p, however small. Raises InputError like `link`."""
        return [self._candidates(ranked[:count], p[:count]) for ranked, _, p, _ in self._ranked(names, vectors)]

    def save(self, folder: Path) -> None:
        """Write `linker.json`, `linker.safetensors`, `lexical.json`, `lexical.safetensors`, `calibration.json`."""
        from safetensors.numpy import save_file

        folder.mkdir(parents=True, exist_ok=True)
        evidence = self.evidence
        # Half precision moves a cosine by less than 0.001 and halves the file.
        arrays: dict[str, NDArray[np.generic]] = {"names": evidence.names.astype(np.float16)}
        arrays["prototypes"] = evidence.prototypes.astype(np.float16)
        if evidence.projection.weight is not None:
            arrays["projection"] = evidence.projection.weight
        save_file(arrays, folder / "linker.safetensors")
        document = {"ids": self.ids, "names": self.names, "ruler": asdict(evidence.ruler)}
        (folder / "linker.json").write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
        evidence.index.save(folder)
        self.calibration.save(folder / "calibration.json")

    @classmethod
    def load(cls, folder: Path) -> Linker:
        """Read what `save` wrote. Raises InputError where it is not there."""
        from safetensors.numpy import load_file

        if not (folder / "linker.json").is_file():
            raise InputError(f"{folder}: holds no linker; run the classify stage first")
        document = json.loads((folder / "linker.json").read_text(encoding="utf-8"))
        arrays = load_file(folder / "linker.safetensors")
        ruler = Ruler(Scale(**document["ruler"]["name"]), Scale(**document["ruler"]["text"]))
        evidence = Evidence(
            index=LexicalIndex.load(folder),
            names=arrays["names"].astype(np.float32),
            prototypes=arrays["prototypes"].astype(np.float32),
            projection=Projection(arrays.get("projection")),
            ruler=ruler,
        )
        return cls(document["ids"], document["names"], evidence, Calibration.load(folder / "calibration.json"))

    def _ranked(self, names: Sequence[str], vectors: NDArray[Any]) -> Iterator[tuple[Ints, Floats, Floats, Ints]]:
        """Of each name the candidates, their log-odds, p and literalness: literal ones first, then by log-odds."""
        checked = classifier.check(np.asarray(vectors), self.dimension)
        if len(checked) != len(names):
            raise InputError(f"{len(checked)} vectors for {len(names)} names")
        for name, (products, features) in zip(names, self.evidence.of(names, classifier.unit(checked)), strict=True):
            odds = self._tied(products, self.calibration.log_odds(features))
            literal = self._literalness(name, products, features[:, LITERAL])
            p = calibration.probabilities(odds, literal > 0)
            order = np.lexsort((products, -odds, -literal))
            yield products[order], odds[order], p[order], literal[order]

    def _literalness(self, name: str, products: Ints, literal: Floats) -> Ints:
        """2 for a product of this very name, 1 up to plural and spelling (Cole Slaw for "coleslaw"), 0 for others."""
        levels = (literal > 0).astype(np.int64)
        asked = normalise_name(name)
        for place in np.flatnonzero(levels):
            levels[place] += normalise_name(self.names[products[place]]) == asked
        return levels

    def _tied(self, products: Ints, odds: Floats) -> Floats:
        """Products of one name are equals, whatever was written about each: all get the best of their log-odds."""
        _, group = np.unique(self.evidence.index.signatures[products], return_inverse=True)
        best = np.full(len(products), -np.inf, dtype=np.float32)
        np.maximum.at(best, group, odds)
        return best[group]

    def _candidates(self, products: Ints, p: Floats) -> list[Candidate]:
        return [
            Candidate(self.ids[product], self.names[product], float(value))
            for product, value in zip(products, p, strict=True)
        ]
