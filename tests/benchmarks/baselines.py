"""Linking by every method over 49,688 products: accuracy, time and memory, each method in a process of its own.

Paraphrases and generic names stand in tables of their own, since they ask for different things. LogisticRegression has
one row of coefficients a product and weighs every text against every product at once, so that it is measured on a
subset, where all others are measured again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.benchmarks.methods import METHODS
from tests.benchmarks.rows import Row
from tests.benchmarks.split import load_split, subset

REGRESSION = "LogisticRegression"


def measure(folder: Path, options: argparse.Namespace) -> list[Row]:
    """Each method over the whole catalog, then all of them over the subset, and what LogisticRegression would need."""
    split = load_split()  # encodes what is not kept yet, so that no measured process does
    sizes = len(split.products), len(subset(split).products)
    texts = len(split.labels)
    del split
    rows = [row for name in METHODS if name != REGRESSION for row in _method(name, sizes[0])]
    rows += [row for name in METHODS for row in _method(name, sizes[1], "--subset")]
    matrix = texts * sizes[0] * 4 / 2**30
    what = f"{REGRESSION}: one matrix of {texts:,} texts × {sizes[0]:,} products, single precision"
    # Sorted by table; a table's lines stay in the order of the methods.
    return [*sorted(rows, key=lambda row: row.suite), Row("baselines", what, matrix, "GiB", "≤ 4 GiB")]


def _method(name: str, products: int, *flags: str) -> Iterator[Row]:
    command = [sys.executable, "-m", "tests.benchmarks.methods", name, *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(done.stderr[-2000:])
    figures = json.loads(done.stdout.splitlines()[-1])
    print(f"{name}, {products:,} products: {figures}", file=sys.stderr, flush=True)
    yield from _rows(name, products, figures)


def _rows(name: str, products: int, figures: dict[str, Any]) -> Iterator[Row]:
    for test in figures["tests"]:
        table = f"{products:,} products, {test['kind']}: {test['what']}"
        yield Row(table, name, test["top-1"], "%", column="top-1")
        yield Row(table, name, test["top-10"], "%", column="top-10")
        yield Row(table, name, test["ms"], "ms", column="ms a text")
    table = f"{products:,} products: cost"
    yield Row(table, name, figures["fit s"], "s", column="fit")
    yield Row(table, name, figures["peak before MiB"], "MiB", column="peak before")
    yield Row(table, name, figures["peak MiB"], "MiB", column="peak")
