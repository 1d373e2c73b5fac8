"""`make bench-gpu`: fine-tuning, generation and the classifier on one GPU, as a table and as JSON in bench-gpu.json.

    python -m tests.benchmarks.gpu [--only NAME …] [--tiny] [--hidden N …] [--output FILE]

The model has the shape of Llama-2-7B and random weights; a token is a byte, so that lengths are exact. Training is
measured twice in one run: by skutune, and by TRL with its defaults on the same examples. Each measurement has a process
of its own, so that none finds memory taken or settings changed. Whole weights of 32 bits with their gradients and
AdamW's moments take 114 GiB: on a device of 80 GB `full` by skutune says that it does not fit. `--tiny` runs all of it
within seconds on any machine: its times mean nothing.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, fields, replace
from functools import partial
from pathlib import Path

import torch

from skutune.training.models import device_name
from tests.benchmarks import gpu_training, gpu_work
from tests.benchmarks.gpu_sizes import Sizes
from tests.benchmarks.rows import Row, render

SUITES: dict[str, Callable[[Path, Sizes], list[Row]]] = {
    "lora": gpu_training.lora,
    "lora-defaults": gpu_training.lora_defaults,
    "full": gpu_training.full,
    "full-defaults": gpu_training.full_defaults,
    "generation": gpu_work.generation,
    "classifier": gpu_work.classify,
}


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write; returns the exit code."""
    options = _parser().parse_args(arguments)
    if not torch.cuda.is_available() and not options.tiny:
        print(
            "bench-gpu: PyTorch finds no CUDA device here, and a model of this size would take days on a CPU; run it "
            "where `nvidia-smi` shows a GPU and PyTorch is built for it, or try it out with --tiny",
            file=sys.stderr,
        )
        return 10
    sizes = Sizes.tiny() if options.tiny else Sizes()
    sizes = replace(sizes, **{name: value for name, value in vars(options).items() if name in _NAMES and value})
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="skutune-bench-") as folder:
        for measure in (gpu_training.prepare, *(SUITES[name] for name in options.only)):
            run = measure if options.in_process else partial(_apart, measure)
            rows += run(Path(folder), sizes)
    rows += gpu_training.ratios(rows)
    print(render(rows), flush=True)
    document = {"device": device_name(), "sizes": asdict(sizes), "rows": [vars(row) for row in rows]}
    options.output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 0


_NAMES = [each.name for each in fields(Sizes)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench-gpu", description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="*", choices=SUITES, default=list(SUITES))
    parser.add_argument("--tiny", action="store_true", help="try all of it out, on a CPU too")
    parser.add_argument("--in-process", action="store_true", help="one process for all, which starts sooner")
    parser.add_argument("--output", type=Path, default=Path("bench-gpu.json"))
    for each in fields(Sizes):
        parser.add_argument(f"--{each.name.replace('_', '-')}", type=int, help=f"default: {each.default}")
    return parser


def _apart(measure: Callable[[Path, Sizes], list[Row]], folder: Path, sizes: Sizes) -> list[Row]:
    """The rows of one measurement, in a process of its own; it ends with all the memory that it took.

    It sees one device: on several TRL's trainer would deal each batch out to all of them.
    """
    os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, folder, sizes).result()


if __name__ == "__main__":
    sys.exit(main())
