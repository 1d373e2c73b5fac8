"""Rates with their uncertainty."""

from __future__ import annotations

import math
from dataclasses import dataclass

_Z95 = 1.959964


@dataclass(frozen=True, slots=True)
class Rate:
    """`hits` of `trials`, and the 95 % interval of the rate behind it. Without trials the rate is None."""

    hits: int
    trials: int
    rate: float | None
    low: float
    high: float


def rate(hits: int, trials: int) -> Rate:
    """A rate with its Wilson score interval (E. B. Wilson, JASA 22, 1927), which holds for few trials and at 0 and 1.

    Raises:
        ValueError: there are more hits than trials, or a negative number of either.
    """
    if not 0 <= hits <= trials:
        raise ValueError(f"{hits} hits in {trials} trials")
    if trials == 0:
        return Rate(0, 0, None, 0.0, 1.0)
    return Rate(hits, trials, hits / trials, *wilson(hits / trials, trials))


def wilson(share: float, trials: int) -> tuple[float, float]:
    """Wilson's 95 % interval around a share of some trials, at least one; the hits need not be whole."""
    z2 = _Z95**2
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = _Z95 / (1 + z2 / trials) * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials**2))
    # At the ends the formula is exact in theory and a rounding error off in floating point.
    return 0.0 if share == 0 else max(0.0, centre - half), 1.0 if share == 1 else min(1.0, centre + half)
