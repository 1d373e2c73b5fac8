"""`make bench`: speed and memory as a table, and as JSON in bench.json. Nothing here passes or fails.

    python -m tests.benchmarks [--only NAME …] [--products N …] [--output FILE]

Absolute times belong to the machine; the ratios in one run hold.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks import baselines, controller, data_path, decoding, engines, finetune, linking, start
from tests.benchmarks.rows import Row, render

SUITES: dict[str, Callable[[Path, argparse.Namespace], list[Row]]] = {
    "start": start.measure,
    "data-path": data_path.measure,
    "engines": engines.measure,
    "finetune": finetune.measure,
    "controller": controller.measure,
    "baselines": baselines.measure,
    "linking": linking.measure,
    "decoding": decoding.measure,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", nargs="*", choices=SUITES, default=list(SUITES))
    parser.add_argument("--products", nargs="*", type=int, default=[1000, 2000], help="sizes of the data path")
    parser.add_argument("--output", type=Path, default=Path("bench.json"))
    options = parser.parse_args()
    rows: list[Row] = []
    for name in options.only:
        with tempfile.TemporaryDirectory(prefix="skutune-bench-") as folder:
            found = SUITES[name](Path(folder), options)
        print(render(found), flush=True)
        rows += found
    machine = {"python": platform.python_version(), "machine": platform.machine(), "system": platform.system()}
    document = {"machine": machine, "rows": [vars(row) for row in rows]}
    options.output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


main()
