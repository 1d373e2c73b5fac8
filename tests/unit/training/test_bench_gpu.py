"""The GPU benchmark stands ready: all of it runs at a size that a CPU can do, and without a GPU it says so."""

import json
from dataclasses import replace
from types import SimpleNamespace

import torch

from skutune.training.sft import MemoryExhaustedError
from tests.benchmarks import gpu, gpu_training
from tests.benchmarks.gpu_sizes import Sizes


def test_all_that_is_measured_on_a_gpu_runs_at_tiny_size(tmp_path, capsys):
    output = tmp_path / "bench-gpu.json"
    assert gpu.main(["--tiny", "--in-process", "--examples", "6", "--output", str(output)]) == 0
    document = json.loads(output.read_text())
    assert (document["sizes"]["examples"], document["sizes"]["layers"]) == (6, 2)
    speeds = {(row["what"], row["column"]): row["value"] for row in document["rows"] if row["unit"] == "tokens/s"}
    assert all(speeds[method, by] > 0 for method in ("lora", "full") for by in ("skutune", "TRL defaults"))
    assert {row["suite"] for row in document["rows"]} == {"SFT on one device", "generation", "classifier"}
    assert "skutune ÷ TRL defaults" in capsys.readouterr().out


def test_a_micro_batch_that_does_not_fit_is_halved_as_in_the_product(tmp_path, monkeypatch):
    tried = []

    def finetune(base, train, validation, config, output, *, checkpointing, **_):
        rows = config.micro_batch_size
        tried.append((rows, checkpointing))
        if len(tried) < 4:
            raise MemoryExhaustedError(rows, checkpointing)
        return SimpleNamespace(plan={}, tokens_per_second=5.0, utilisation=None)

    monkeypatch.setattr(gpu_training, "finetune", finetune)
    (row,) = gpu_training.lora(tmp_path, replace(Sizes.tiny(), micro_batch=4))
    assert tried == [(4, False), (2, False), (1, False), (1, True)]
    assert row.value == 5.0


def test_without_a_gpu_it_says_what_is_missing_and_measures_nothing(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main(["--output", str(tmp_path / "none.json")]) == 10
    assert "no CUDA device" in capsys.readouterr().err
    assert not (tmp_path / "none.json").exists()
