"""Small statistics of the report: histograms, samples, flattened figures."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from skutune.hashing import unit_hash

Row = TypeVar("Row")
_LISTED = 6  # longer lists show only their ends


@dataclass(frozen=True, slots=True)
class Bin:
    """One bar of a histogram: values from `low` up to, but not with, `high`; `marked` of its `count` stand out."""

    low: float
    high: float
    count: int
    marked: int = 0


def unit_bins(values: Iterable[tuple[float, bool]], bins: int = 20) -> list[Bin]:
    """A histogram of (value in [0, 1], marked) pairs; 1 falls into the last bin."""
    counts, marked = [0] * bins, [0] * bins
    for value, mark in values:
        place = min(bins - 1, max(0, int(value * bins)))
        counts[place] += 1
        marked[place] += mark
    return [Bin(place / bins, (place + 1) / bins, counts[place], marked[place]) for place in range(bins)]


def count_bins(counts: Mapping[int, int], marked: Callable[[int], bool], bins: int = 24) -> list[Bin]:
    """A histogram of integers from 0: `counts[n]` items have the value n, and are highlighted if `marked(n)`."""
    if not counts:
        return []
    width = max(1, math.ceil((max(counts) + 1) / bins))
    histogram = []
    for low in range(0, max(counts) + 1, width):
        numbers = range(low, low + width)
        standing_out = sum(counts.get(number, 0) for number in numbers if marked(number))
        histogram.append(Bin(low, low + width, sum(counts.get(number, 0) for number in numbers), standing_out))
    return histogram


def sample(rows: Iterable[Row], size: int, identity: Callable[[Row], str]) -> list[Row]:
    """A sample of rows, chosen by a hash of their identity: the same in every report."""
    return heapq.nsmallest(size, rows, key=lambda row: unit_hash("report", identity(row)))


def flatten(figures: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested figures as (path, value) rows; a list of mappings is numbered, a long list is shortened to its ends."""
    for name, value in figures.items():
        path = f"{prefix} · {_words(name)}" if prefix else _words(name)
        if isinstance(value, Mapping):
            yield from flatten(value, path)
        elif isinstance(value, Sequence) and not isinstance(value, str):
            yield from _flatten_list(path, value)
        else:
            yield path, value


def _flatten_list(path: str, values: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    if any(isinstance(value, Mapping) for value in values):
        for number, value in enumerate(values, start=1):
            yield from flatten(value if isinstance(value, Mapping) else {"": value}, f"{path} {number}")
    elif len(values) > _LISTED:
        yield f"{path} · count", len(values)
        yield f"{path} · first", values[0]
        yield f"{path} · last", values[-1]
    else:
        yield path, list(values)


def _words(name: Any) -> str:
    return str(name).replace("_", " ")
