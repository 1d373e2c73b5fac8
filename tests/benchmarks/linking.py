"""The linker over 49,688 products: speed, how sure it is, what it refuses, and what sharing among equals brings.

Names are those of test.json, labelled by hand and never seen by what is measured. Each name that has an answer is asked
once more while all its answers are hidden, so that as many names have a product as have none. links.txt, beside the
table's JSON, holds each name with its links, to be read.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from skutune import linking
from skutune.config.schema import ClassifyConfig, LinkConfig
from skutune.linking import Linker, SourceScorer, calibration, fit_linker, query_text
from skutune.linking.synthetic_names import generic_names
from tests.benchmarks.methods import embeddings
from tests.benchmarks.rows import Row
from tests.benchmarks.split import load_split
from tests.grocery import vectors
from tests.grocery.catalog import catalog
from tests.grocery.labels import Labelled, load_labels
from tests.grocery.prior import MARGINS, Asking, ask, best_of
from tests.grocery.sources import judge, load_named

BATCH = 1000
SPREAD = 5000  # products whose short names are asked, for how many products are ever recommended


def measure(folder: Path, options: argparse.Namespace) -> list[Row]:
    """Fit over the whole catalog, save, load, and ask."""
    split = load_split()
    started = time.perf_counter()
    fitted, figures = fit_linker(split.products, embeddings(split), ClassifyConfig(), vectors.encoder())
    rows = [Row("linking", "fit at 49,688 products", time.perf_counter() - started, "s")]
    linking.save_linker(fitted, folder / "linker")
    started = time.perf_counter()
    linker = linking.load_linker(folder / "linker")
    rows.append(Row("linking", "load", time.perf_counter() - started, "s", "< 3 s"))
    moved = figures["calibration"]
    print("calibration:", {key: moved.get(key) for key in ("kept", "why", "scale", "shift", "log_loss", "retrieved")})
    rows += _speed(linker)
    labelled = load_labels("test.json")
    askings = list(ask(linker.evidence, labelled, {}))
    rows += _judged(linker, askings)
    rows += _refused(linker, labelled)
    rows += _ties(linker, labelled)
    rows += _sources(linker)
    options.output.with_name("links.txt").write_text("\n".join(_read(linker, labelled)) + "\n", encoding="utf-8")
    return rows


def _speed(linker: Linker) -> Iterator[Row]:
    """Names in one batch and one by one, without the encoder."""
    names = [name for product in catalog()[::41] for name in generic_names(product.name)][:BATCH]
    encoded = vectors.encoder().encode([query_text(name, None) for name in names])
    linker.link(names[:8], encoded[:8], LinkConfig())
    batches, single = [], []
    for _ in range(5):
        started = time.perf_counter()
        linker.link(names, encoded, LinkConfig())
        batches.append(time.perf_counter() - started)
    for place in range(100):
        started = time.perf_counter()
        linker.link(names[place : place + 1], encoded[place : place + 1], LinkConfig())
        single.append(time.perf_counter() - started)
    yield Row("linking", f"a name of {BATCH:,} at once", 1000 * float(np.median(batches)) / BATCH, "ms", "< 1 ms")
    yield Row("linking", "a name alone", 1000 * float(np.median(single)), "ms", "< 100 ms")


def _judged(linker: Linker, askings: Sequence[Asking]) -> Iterator[Row]:
    """Reliability and precision against coverage by the hand labels, as prior.py counts them; then names as asked."""
    odds = [linker.calibration.log_odds(one.features) for one in askings]
    values, right = best_of(askings, odds)
    p = np.asarray(calibration.sigmoid(values), dtype=np.float32)
    for place, bin_ in enumerate(calibration.reliability(p, right), start=1):
        for column, value in (("P(acceptable)", bin_["p"]), ("acceptable", bin_["acceptable"])):
            yield Row("reliability, best candidates", f"tenth {place}", 100 * value, "%", column=column)
    table = "precision against coverage, as many names without a product as with one"
    for line in calibration.coverage(p, right, linker.calibration):
        what = f"wanted {line['wanted']:.0%}"
        yield Row(table, what, 100 * line["precision"], "%", column="precision")
        yield Row(table, what, 100 * line["coverage"], "%", column="linked")
    yield from _as_asked(linker, [one for one in askings if not one.hidden])


def _as_asked(linker: Linker, askings: Sequence[Asking]) -> Iterator[Row]:
    """What is linked of the names as they are, those that are literally a product's with them."""
    best, right = [], []
    for one in askings:
        p = calibration.probabilities(linker.calibration.log_odds(one.features), one.features[:, linking.LITERAL] > 0)
        best.append(p.max())
        right.append(one.acceptable[p.argmax()])
    judged, correct, answered = np.array(best), np.array(right), np.array([one.answers > 0 for one in askings])
    for wanted in calibration.WANTED:
        linked = judged >= linker.calibration.threshold(wanted)
        table, what = "names as they are, nothing hidden", f"wanted {wanted:.0%}"
        yield Row(table, what, 100 * float(correct[linked].mean()), "%", column="precision")
        yield Row(table, what, 100 * float(linked[answered].mean()), "%", column="linked that have a product")
        yield Row(table, what, 100 * float(linked[~answered].mean()), "%", column="linked that have none")


def _refused(linker: Linker, labelled: Sequence[Labelled]) -> Iterator[Row]:
    """By kind of name: how many got a link, and how many of those a shopper would accept."""
    for kind in dict.fromkeys(one.kind for one in labelled):
        names = [one for one in labelled if one.kind == kind]
        found = _links(linker, [one.name for one in names])
        linked = [place for place, each in enumerate(found) if each]
        good = sum(bool(names[place].acceptable[found[place][0]]) for place in linked)
        table = "links by kind of name, wanted precision 90%"
        yield Row(table, kind, len(names), "", column="names")
        yield Row(table, kind, len(linked), "", column="linked")
        yield Row(table, kind, good, "", column="acceptable")


def _ties(linker: Linker, labelled: Sequence[Labelled]) -> Iterator[Row]:
    """For each margin: products that are ever recommended, and the share of labelled links that are acceptable."""
    names = [name for product in catalog()[:: len(catalog()) // SPREAD] for name in generic_names(product.name)[:2]]
    names = list(dict.fromkeys(names))
    ranked = list(linker.rank(names, vectors.encoder().encode([query_text(name, None) for name in names])))
    known = [one for one in labelled if one.acceptable.any()]
    asked = [one.name for one in known]
    judged = list(linker.rank(asked, vectors.encoder().encode([query_text(name, None) for name in asked])))
    places = _places()
    table = f"near-ties of {len(names):,} short names, wanted precision 90%"
    for margin in dict.fromkeys((*MARGINS, linker.calibration.margin)):
        other = Linker(linker.ids, linker.names, linker.evidence, linker.calibration.with_margin(margin))
        found = [other.choose(each, LinkConfig()).candidates for each in ranked]
        right = [
            np.mean([one.acceptable[places[candidate.id]] for candidate in candidates])
            for one, each in zip(known, judged, strict=True)
            if (candidates := other.choose(each, LinkConfig()).candidates)
        ]
        what = f"margin {margin:g}" + (" (used)" if margin == linker.calibration.margin else "")
        yield Row(table, what, len({one.id for each in found for one in each}), "", column="distinct products")
        yield Row(table, what, float(np.mean([len(each) for each in found if each])), "", column="near-ties a name")
        yield Row(table, what, 100 * float(np.mean(right)), "%", column="acceptable, labelled names")


def _sources(linker: Linker) -> Iterator[Row]:
    """Of names that an LLM wrote for products: how many may stand for these, found among near-ties or judged alone."""
    named = load_named()
    table = f"sources of {len(named)} names that a small LLM wrote for them, wanted precision 90%"
    for what, expanded in (("names as they are", False), ("names with what they mean", True)):
        judged = judge(linker, named, expanded)
        accepted = judged.p >= linker.calibration.threshold(0.9)
        yield Row(table, what, int(judged.linked.sum()), "", column="linked")
        yield Row(table, what, int(judged.acceptable.sum()), "", column="acceptable by hand")
        yield Row(table, what, int(judged.among_candidates.sum()), "", column="among the near-ties")
        yield Row(table, what, int(accepted.sum()), "", column="accepted")
        yield Row(table, what, 100 * float(judged.acceptable[accepted].mean()), "%", column="of these acceptable")
    yield Row(table, "a name and a source", _milliseconds_a_source(linker), "ms", "< 1 ms", column="time")


def _milliseconds_a_source(linker: Linker) -> float:
    """Names of many sources, none of which is a candidate, without the encoder."""
    names = ["coffee", "yogurt", "ice cream", "cheese"]
    encoded = vectors.encoder().encode([query_text(name, None) for name in names])
    ranked = list(linker.rank(names, encoded))
    strangers = [linker.ids[:: len(linker.ids) // BATCH] for _ in names]
    started = time.perf_counter()
    SourceScorer(linker).judge(names, encoded, ranked, strangers, LinkConfig().precision)
    return 1000 * (time.perf_counter() - started) / sum(len(each) for each in strangers)


def _places() -> dict[str, int]:
    return {product.id: place for place, product in enumerate(catalog())}


def _links(linker: Linker, names: Sequence[str]) -> list[list[int]]:
    places = _places()
    encoded = vectors.encoder().encode([query_text(name, None) for name in names])
    return [[places[one.id] for one in each.candidates] for each in linker.link(names, encoded, LinkConfig())]


def _read(linker: Linker, labelled: Sequence[Labelled]) -> Iterator[str]:
    names = [one.name for one in labelled]
    places = _places()
    encoded = vectors.encoder().encode([query_text(name, None) for name in names])
    for one, found in zip(labelled, linker.link(names, encoded, LinkConfig()), strict=True):
        shown = "; ".join(f"{each.name} ({each.p:.2f})" for each in found.candidates[:3])
        sign = " "
        if found.candidates:
            sign = "+" if one.acceptable[places[found.candidates[0].id]] else "-"
        yield f"{sign} [{one.kind}] {one.name} -> {shown or f'no close product ({found.best_p:.2f})'}"
