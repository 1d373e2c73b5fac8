"""Which products of the sample may be called by the short name that a small LLM wrote for them, labelled by hand.

    python -m tests.grocery.sources        # tells for each WRITTEN_FOR how many are accepted, and right

sources.json lists the ids of those products of written.jsonl whose short name a shopper would accept for them: asked
for the name, the product is a fair one to bring. A slip of the pen is none ("boneless skinless chicken thins"), another
thing of the same words is one ("salmon" for cat food), and so is a mixture ("lemon lime strawberry water").

The names are asked over the whole catalog, as they are and with what the LLM says that they mean. At log-odds of 2 more
than a candidate's, in both askings and at each wanted precision at least as many of the accepted are right as are
wanted; WRITTEN_FOR stays below that, because other models write other names.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skutune.config.schema import ClassifyConfig, LinkConfig
from skutune.linking import Linker, SourceScorer, calibration, fit_linker, query_text
from skutune.linking.calibration import WANTED
from skutune.linking.source_products import WRITTEN_FOR
from tests.benchmarks.methods import embeddings
from tests.benchmarks.split import load_split
from tests.grocery import vectors
from tests.grocery.written import Written, load_written

FILE = Path(__file__).with_name("sources.json")
STEPS = np.arange(0, 2.6, 0.25)
SURE = 0.8  # wanted precisions from here on are told


@dataclass(frozen=True, slots=True)
class Judged:
    """The n names of the sample: whether their sources are acceptable, and P of these, shape (n,) each."""

    acceptable: NDArray[np.bool_]
    p: NDArray[np.float64]
    linked: NDArray[np.bool_]
    among_candidates: NDArray[np.bool_]


def load_named() -> list[Written]:
    """The products of the sample that have a short name."""
    return [one for one in load_written() if one.short]


def load_acceptable() -> set[str]:
    """The ids of those that may be called so."""
    return set(json.loads(FILE.read_text(encoding="utf-8")))


def judge(linker: Linker, named: Sequence[Written], expanded: bool, precision: float = 0.9) -> Judged:
    """What a linker says of names and their sources: whether it links the name, also to the source, and P of that."""
    names = [one.short for one in named]
    texts = [query_text(one.short, one.expansion or None if expanded else None) for one in named]
    encoded = vectors.encoder().encode(texts)
    ranked = list(linker.rank(names, encoded))
    config = LinkConfig(precision=precision)
    linked = [[candidate.id for candidate in linker.choose(each, config).candidates] for each in ranked]
    sources = SourceScorer(linker).judge(names, encoded, ranked, [[one.id] for one in named], precision)
    known = load_acceptable()
    return Judged(
        np.array([one.id in known for one in named]),
        np.array([source.p for (source,) in sources]),
        np.array([bool(ids) for ids in linked]),
        np.array([one.id in ids for one, ids in zip(named, linked, strict=True)]),
    )


def told(linker: Linker, named: Sequence[Written], expanded: bool) -> Iterator[str]:
    """For each step and wanted precision how many are accepted and how many of those are right."""
    judged = judge(linker, named, expanded)
    p = np.clip(judged.p, 1e-9, 1 - 1e-9)
    odds = np.log(p / (1 - p)) - WRITTEN_FOR
    literal = judged.p >= calibration.LITERAL_P  # judged by rule, at every step
    for step in STEPS:
        line = f"{'expanded' if expanded else 'as it is':9} + {step:4.2f}"
        for wanted in (each for each in WANTED if each >= SURE):
            accepted = literal | (calibration.sigmoid(odds + step) >= linker.calibration.threshold(wanted))
            line += f"   {wanted:.0%}: {accepted.sum():3} {judged.acceptable[accepted].mean():6.1%}"
        yield line


def main() -> None:
    """Fit a linker over the whole catalog, and tell."""
    split = load_split()
    linker, _ = fit_linker(split.products, embeddings(split), ClassifyConfig(), vectors.encoder())
    named = load_named()
    print(f"{len(load_acceptable())} of {len(named)} are acceptable")
    for expanded in (False, True):
        print(*told(linker, named, expanded), sep="\n")


if __name__ == "__main__":
    main()
