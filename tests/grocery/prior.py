"""Fits the packaged prior of P(acceptable), src/skutune/linking/prior.json, on names that people labelled by hand.

    python -m tests.grocery.prior

The names of fit_a.json and fit_b.json are asked over the whole catalog, as they are and with what a small LLM says that
they mean, and once more while everything acceptable is hidden: what is found then is wrong by the same label. An
asking that has an answer counts ANSWERED times as much as one that has none. Coefficients keep the sign that their
feature has by its meaning, and are cross-validated over names; the names of test.json are never seen here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression, minimize

from skutune import linking
from skutune.config.schema import ClassifyConfig
from skutune.linking import calibration, query_text, synthetic_names
from skutune.linking.calibration import WANTED, Calibration
from skutune.linking.features import FEATURES, Features
from skutune.linking.fit import build_linker
from skutune.linking.vectors import classifier
from skutune.linking.vectors.classifier import Floats, Ints, Projection
from skutune.linking.vectors.cosine_scale import CosineScale
from tests.grocery import vectors
from tests.grocery.catalog import catalog
from tests.grocery.labels import Labelled, load_labels
from tests.grocery.written import load_meant

PRIOR = Path(calibration.__file__).with_name("prior.json")
BLANK = Calibration((0.0,) * len(FEATURES), 0.0, 0.0)
MARGINS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0)
FOLDS = 5
ANSWERED = {2000: 2, 49_688: 3}
"""Weight of an asking with an answer by the size of the catalog, else 1; there are about as many with one as without.
The more a shop sells, the more of the names that are recommended have a product there."""
SIZES = {20: 40, 200: 6, 2000: 1}
"""Sizes of small catalogs, and how many of each are drawn."""
FOILED = 8  # products of a small catalog for one that is a foil
_ALIKE = 8  # products that share a name's words, of which one is drawn
_AGAINST = {"category_gap", "unknown", "head_elsewhere", "constraint_extra"}
_EITHER = {"best_similarity"}  # the same for all candidates of a name
_RULED = {"literal", "series"}  # judged by rule
_JUDGED = 10  # candidates of an asking that decide what is linked
_PENALTY = 1.0


@dataclass(frozen=True, slots=True)
class Asking:
    """One name asked: its candidates' rows, features and labels; `hidden` where all that it accepts was hidden."""

    name: str
    kind: str
    hidden: bool
    candidates: Ints
    features: Floats
    acceptable: NDArray[np.bool_]
    answers: int


def evidences(templates: Sequence[int]) -> Iterator[Features]:
    """The whole catalog by name and template texts: vectors as they are, and projected as classify projects them."""
    products, names = catalog(), vectors.names()
    texts = np.concatenate([names, *(vectors.template(number) for number in templates)])
    labels = np.tile(np.arange(len(products)), 1 + len(templates))
    found, _ = classifier.fit(texts, labels, ClassifyConfig())
    for projection in [Projection(None)] + ([found] if found.weight is not None else []):
        ruler = CosineScale.measure(vectors.encoder(), projection)
        yield build_linker(products, names, texts, labels, projection, ruler, BLANK).evidence


def ask_small(
    evidence: Features, labelled: Sequence[Labelled], meant: dict[str, str], size: int, repeats: int
) -> Iterator[Asking]:
    """Names asked in random small catalogs: half of them have one answer or a few there, half have none.

    In a catalog of twenty products one steak is all the steak there is. The labels hold in any part of the catalog.
    Some things that no grocer sells have a foil, a product that shares their words ("bread" for a bread box): by chance
    few would meet one.
    """
    generator = np.random.default_rng(size)
    known = [one for one in labelled if one.acceptable.any()]
    strangers = [one for one in labelled if one.kind == "stranger"]
    for _ in range(repeats):
        planted = generator.permutation(len(known))[: min(size // 3, len(known) // 2)]
        rows = set(generator.choice(len(catalog()), size - len(planted), replace=False).tolist())
        rows |= {int(generator.choice(np.flatnonzero(known[place].acceptable))) for place in planted}
        foils = _foils(evidence, [strangers[place] for place in generator.permutation(len(strangers))], generator, size)
        rows |= set(foils.values())
        chosen = np.array(sorted(rows))
        inside = [replace(one, acceptable=one.acceptable[chosen]) for one in labelled]
        having = [one for one in inside if one.acceptable.any()]
        lacking = [one for one in inside if not one.acceptable.any()]
        lacking = [lacking[place] for place in generator.permutation(len(lacking))]
        lacking.sort(key=lambda one: one.name not in foils)
        asked = [*having, *lacking[: len(having)]]
        yield from (one for one in ask(_part(evidence, chosen), asked, meant) if not one.hidden)


def _foils(
    evidence: Features, strangers: Sequence[Labelled], generator: np.random.Generator, size: int
) -> dict[str, int]:
    """Names that nothing answers, and a product each that shares their words."""
    foils: dict[str, int] = {}
    for one in strangers:
        if len(foils) >= size // FOILED:
            break
        alike = evidence.index.candidates(evidence.index.query(one.name), _ALIKE)
        if len(alike):
            foils[one.name] = int(generator.choice(alike))
    return foils


def _part(whole: Features, rows: Ints) -> Features:
    products = [catalog()[row] for row in rows]
    return Features.build(products, whole.names[rows], whole.prototypes[rows], whole.projection, whole.ruler)


def ask(evidence: Features, labelled: Sequence[Labelled], meant: dict[str, str]) -> Iterator[Asking]:
    """Each name asked as it is and, where it has an answer, with all answers hidden."""
    names = [one.name for one in labelled]
    encoded = vectors.encoder().encode([query_text(name, meant.get(name)) for name in names])
    for one, (found, features) in zip(labelled, evidence.of(names, encoded), strict=True):
        if len(found):
            yield Asking(one.name, one.kind, False, found, features, one.acceptable[found], int(one.acceptable.sum()))
    answered = np.flatnonzero([one.acceptable.any() for one in labelled])
    masks = [labelled[place].acceptable for place in answered]
    rest = evidence.of([names[place] for place in answered], encoded[answered], masks)
    for place, (found, features) in zip(answered, rest, strict=True):
        if len(found):
            one = labelled[place]
            yield Asking(one.name, one.kind, True, found, features, np.zeros(len(found), dtype=bool), 0)


def fit(askings: Sequence[Asking], answered: int) -> Calibration:
    """Coefficients from all candidates, then twice from those that decide what is linked."""
    found = _solved(askings, answered, lambda features: np.zeros(len(features)), None)
    for _ in range(2):
        found = _solved(askings, answered, found.log_odds, _JUDGED)
    return found


def _solved(
    askings: Sequence[Asking], answered: int, score: Callable[[Floats], Floats], count: int | None
) -> Calibration:
    chosen = [np.argsort(-score(asking.features), kind="stable")[:count] for asking in askings]
    x = np.concatenate([asking.features[rows] for asking, rows in zip(askings, chosen, strict=True)]).astype(float)
    y = np.concatenate([asking.acceptable[rows] for asking, rows in zip(askings, chosen, strict=True)])
    counted = np.array([_weight(asking, answered) for asking in askings], dtype=float)
    counted *= len(x) / counted.sum()
    weights = np.concatenate(
        [np.full(len(rows), weight / len(rows)) for rows, weight in zip(chosen, counted, strict=True)]
    )

    def loss(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        odds = x @ values[:-1] + values[-1]
        slope = weights * (calibration.sigmoid(odds) - y)
        total = (weights * (np.logaddexp(0, odds) - y * odds)).sum() + _PENALTY / 2 * (values[:-1] ** 2).sum()
        return float(total), np.append(x.T @ slope + _PENALTY * values[:-1], slope.sum())

    bounds = [_bounds(feature) for feature in FEATURES] + [(None, None)]
    start = np.zeros(len(FEATURES) + 1)
    values = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B", options={"maxiter": 2000}).x
    return Calibration(tuple(float(value) for value in values[:-1]), float(values[-1]), 0.0)


def _weight(asking: Asking, answered: int) -> int:
    return answered if asking.answers else 1


def _bounds(feature: str) -> tuple[float | None, float | None]:
    if feature in _RULED:
        return 0.0, 0.0
    if feature in _EITHER:
        return None, None
    return (None, 0.0) if feature in _AGAINST else (0.0, None)


def cross_validated(askings: Sequence[Asking], answered: int) -> list[Floats]:
    """The log-odds of each asking's candidates by a calibration that has not seen its name."""
    names = sorted({asking.name for asking in askings})
    folds = dict(zip(names, np.random.default_rng(0).permutation(len(names)) % FOLDS, strict=True))
    fitted = [fit([asking for asking in askings if folds[asking.name] != fold], answered) for fold in range(FOLDS)]
    return [fitted[folds[asking.name]].log_odds(asking.features) for asking in askings]


def best_of(askings: Sequence[Asking], odds: Sequence[Floats], answered: int = 1) -> tuple[Floats, NDArray[np.bool_]]:
    """Log-odds of each asking's best candidate, and whether it is acceptable; each as often as it counts.

    Names of which the catalog has the very same are left out, hidden or not: they are linked by rule, and without their
    other half there would be more names without a product than with one.
    """
    ruled = {asking.name for asking in askings if _is_literal(asking).any()}
    judged = [
        (values.max(), asking.acceptable[values.argmax()])
        for asking, values in zip(askings, odds, strict=True)
        if asking.name not in ruled
        for _ in range(_weight(asking, answered))
    ]
    return np.array([value for value, _ in judged], dtype=np.float32), np.array([right for _, right in judged])


def _is_literal(asking: Asking) -> NDArray[np.bool_]:
    return np.asarray(asking.features[:, linking.LITERAL] > 0)


def cuts(p: Floats, right: NDArray[np.bool_]) -> tuple[float, ...]:
    """The lowest p at which each WANTED precision is reached among the askings that reach it.

    Precision is made to grow with p (isotonic regression), so that no cut rests on a lucky few.
    """
    order = np.argsort(-p, kind="stable")
    precise = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    falling = isotonic_regression(precise, increasing=False).x
    found = []
    for wanted in WANTED:
        reached = np.flatnonzero(falling >= wanted)
        found.append(float(p[order][reached[-1]]) if len(reached) else wanted)
    return tuple(round(value, 3) for value in found)


def margins(askings: Sequence[Asking], odds: Sequence[Floats], cut: float) -> list[tuple[float, float, float]]:
    """For each of MARGINS the share of acceptable products among the near-ties, and how many they are for a name."""
    told = []
    for margin in MARGINS:
        shares, sizes = [], []
        for asking, values in zip(askings, odds, strict=True):
            if asking.answers and calibration.sigmoid(values.max()) >= cut:
                order = np.argsort(-values, kind="stable")[:10]
                ties = order[(values[order] >= values.max() - margin) & (calibration.sigmoid(values[order]) >= cut)]
                shares.append(asking.acceptable[ties].mean())
                sizes.append(len(ties))
        told.append((margin, float(np.mean(shares)), float(np.mean(sizes))))
    return told


def fitted_at(askings: Sequence[Asking], answered: int) -> Calibration:
    """The calibration for one size of catalog; prints how good it is on names that were not seen."""
    odds = cross_validated(askings, answered)
    # The best of many candidates is the luckiest one as well: what is told of it is learned from best ones alone.
    scale, shift = calibration.fit(*best_of(askings, odds, answered), precision=0.0)
    odds = [scale * values + shift for values in odds]
    best, right = best_of(askings, odds, answered)
    best = np.asarray(calibration.sigmoid(best), dtype=np.float32)
    fitted = replace(fit(askings, answered).scaled(scale, shift), cuts=cuts(best, right))
    tied = margins(askings, odds, fitted.threshold(0.9))
    # The widest that costs no more than a hundredth of what the best candidates alone are right.
    fitted = replace(fitted, margin=max(margin for margin, share, _ in tied if share >= tied[0][1] - 0.01))
    for bin_ in calibration.reliability(best, right):
        print("reliability", bin_)
    for line in calibration.coverage(best, right, fitted):
        print("coverage", line)
    for margin, share, size in tied:
        print(f"margin {margin}: {share:.3f} acceptable of {size:.1f} near-ties")
    rounded = tuple(round(value, 3) for value in fitted.coefficients)
    return replace(fitted, coefficients=rounded, intercept=round(fitted.intercept, 3))


def main() -> None:
    """Fit at each size, and write prior.json."""
    labelled, meant = [*load_labels("fit_a.json"), *load_labels("fit_b.json")], load_meant()
    askings: dict[int, list[Asking]] = {size: [] for size in [*SIZES, len(catalog())]}
    for evidence in evidences((0,)):
        for known in ({}, meant):
            askings[len(catalog())] += ask(evidence, labelled, known)
            for size, repeats in SIZES.items():
                askings[size] += ask_small(evidence, labelled, known, size, repeats)
    fitted = []
    for size, asked in askings.items():
        print(f"{size:,} products, {len(asked):,} askings")
        fitted.append(fitted_at(asked, ANSWERED.get(size, 1)))
    print(f"{'feature':20}", *(f"{size:9,}" for size in askings))
    for place, feature in enumerate([*FEATURES, "intercept"]):
        values = [[*each.coefficients, each.intercept][place] for each in fitted]
        print(f"{feature:20}", *(f"{value:9.3f}" for value in values))
    # Names made from the catalog, judged by what hand labels say: how much easier they are is taken off elsewhere.
    rounds = synthetic_names.label_queries(
        synthetic_names.sample_queries(list(catalog()), 0), evidence, fitted[-1], vectors.encoder()
    )
    scale, shift = calibration.fit(rounds.odds, rounds.right, precision=0.0)
    made = {"scale": round(scale, 3), "shift": round(shift, 3)}
    print("made names", made)
    document = {"sizes": list(askings), "made": made, "calibrations": [asdict(each) for each in fitted]}
    PRIOR.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
