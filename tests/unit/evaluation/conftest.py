"""A scripted run up to its examples, with an adapter that was never trained: all that an evaluation reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from byte_model import save_base
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from skutune import records
from skutune.config.load import parse_config
from skutune.config.schema import Config
from skutune.engines.pool import ModelPool
from skutune.local.runner import Options, run_pipeline
from skutune.pipeline import manifests
from skutune.pipeline.manifests import Manifest, Stats
from skutune.pipeline.stage_io import Inputs, Outputs
from skutune.samples import write_sample
from skutune.stages.base import Context
from skutune.stages.evaluate import Evaluate
from skutune.store.local import LocalStore
from skutune.training.checkpoint_store import Checkpoints
from skutune.training.tokens import load_tokenizer

READ = ("ingest", "describe", "classify", "compose")


@dataclass
class Evaluated:
    """What an evaluation wrote."""

    outputs: Outputs
    document: dict[str, Any]
    rows: list[records.EvaluatedAnswer]
    store: LocalStore


class Silent:
    """Watches a run and says nothing."""

    def stage_started(self, *_: Any) -> None: ...
    def progressed(self, *_: Any) -> None: ...
    def stage_finished(self, *_: Any) -> None: ...


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Room for an answer written byte by byte.
    return save_base(tmp_path_factory.mktemp("models") / "tiny", max_position_embeddings=4096)


@pytest.fixture(scope="session")
def tiny_adapter(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "adapter"
    torch.manual_seed(2)
    lora = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
    get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_base), lora).save_pretrained(folder)
    load_tokenizer(tiny_base).save_pretrained(folder)
    return folder


def configured(folder: Path, base: Path, *, products: int = 12, **evaluate: Any) -> Config:
    """A config for a run in this folder; `compose` in it is that stage's settings."""
    scripted = {"name": "none", "engine": "scripted"}
    compose = evaluate.pop("compose", {"hold_out_products": 0.2, "hold_out_questions": 0.2})
    judge = evaluate.pop("judge_model", None)
    settings = {"questions": 3, "max_tokens": 320, "batch_size": 3, "recall": 3} | evaluate
    document = {
        "run": "sample",
        "store": str(folder / "runs"),
        "catalog": {
            "source": str(folder / "grocery.csv"),
            "columns": {"id": "product_id", "name": "product_name", "attributes": ["aisle", "department"]},
            "buckets": 2,
        },
        "models": {
            "generator": scripted,
            "encoder": scripted,
            "base": {"name": str(base), "dtype": "float32"},
            "judge": judge,
        },
        "stages": {
            "paraphrase": {"variants": 1},
            "question": {"per_product": 4},
            "classify": {"epochs": 0},
            "compose": compose,
            "evaluate": settings,
        },
    }
    write_sample(folder / "grocery.csv", products)
    return parse_config(document, "test")


@pytest.fixture(scope="session")
def evaluate(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path, tiny_adapter: Path) -> Callable[..., Evaluated]:
    """Runs up to compose once for the same products and splits, and then the evaluation with other settings."""
    composed: dict[str, tuple[Path, dict[str, Manifest]]] = {}

    def run(*, adapter: Path = tiny_adapter, products: int = 12, **settings: Any) -> Evaluated:
        key = repr((products, settings.get("compose")))
        if key not in composed:
            folder = tmp_path_factory.mktemp("run")
            config = configured(folder, tiny_base, products=products, **settings)
            made = run_pipeline(config, LocalStore(folder / "runs"), folder, Silent(), Options(until="compose"))
            composed[key] = folder, made
        folder, made = composed[key]
        config = configured(folder, tiny_base, products=products, **settings)
        return _evaluated(config, folder, made, adapter, tmp_path_factory.mktemp("scratch"))

    return run


def _evaluated(config: Config, folder: Path, made: dict[str, Manifest], adapter: Path, scratch: Path) -> Evaluated:
    store = LocalStore(folder / "runs")
    tuned = Outputs(store, f"sample/finetune/{scratch.name}")
    tuned.folder("adapter", adapter)
    found = {name: made[name] for name in READ}
    found["finetune"] = Manifest("finetune", scratch.name, 0, tuple(tuned.entries), Stats())
    folders = {name: manifests.stage_folder("sample", name, each.fingerprint) for name, each in found.items()}
    inputs, pool = Inputs(store, folders, found, scratch), ModelPool(config.models, scratch)
    names = ["Baked Beans"]

    def base() -> Path:
        path = pool.weights("base").path
        assert path is not None
        pool.close()
        return path

    context = Context(
        config=config,
        inputs=inputs,
        models={},
        scratch=scratch,
        engine=partial(pool.text_engine, lambda: names),
        encoder=pool.encoder,
        base=base,
        source=lambda: folder,
        checkpoints=Checkpoints(store, "sample/evaluate/x"),
        judge=partial(pool.judge, lambda: names),
        check_judge=pool.check_judge,
    )
    outputs = Outputs(store, f"sample/evaluate/{scratch.name}")
    Evaluate(context).run(outputs)
    written = Inputs(
        store,
        {"evaluate": f"sample/evaluate/{scratch.name}"},
        {"evaluate": Manifest("evaluate", scratch.name, 0, tuple(outputs.entries), Stats())},
        scratch / "read",
    )
    rows = list(written.rows("evaluate", records.EvaluatedAnswer))
    return Evaluated(outputs, written.json("evaluate", "evaluation.json"), rows, store)
