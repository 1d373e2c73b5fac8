"""How fast the command line answers."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from tests.benchmarks.rows import Row

RUNS = 5


def measure(folder: Path, options: argparse.Namespace) -> list[Row]:
    """Median wall seconds of `skutune --help`."""
    times = []
    for _ in range(RUNS):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "skutune", "--help"], check=True, capture_output=True, cwd=folder)
        times.append(time.perf_counter() - started)
    return [Row("start", "skutune --help, median", statistics.median(times), "s", "well under 1 s")]
