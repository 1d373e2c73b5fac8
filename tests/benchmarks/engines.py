"""The real small model: a map stage's tokens/s over those of the same engine called bare on the same prompts."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from skutune.config.load import parse_config
from skutune.config.schema import Config
from skutune.engines.base import Request
from skutune.engines.pool import ModelPool
from skutune.pipeline.stage_io import Inputs
from skutune.prompts.describe import describe
from skutune.records import Product
from skutune.samples import write_sample
from skutune.samples.models import prepare_encoder, prepare_generator
from skutune.stages.base import Context, WorkItem
from skutune.stages.describe import Describe
from skutune.stages.llm import to_sampling
from tests.benchmarks.rows import Row

PRODUCTS = 64


def measure(folder: Path, options: argparse.Namespace) -> list[Row]:
    """Bare engine and describe stage, in turn, on the same descriptions."""
    cache = Path.home() / ".cache" / "skutune"
    write_sample(folder / "grocery.csv")
    model = {"name": str(prepare_generator(cache))}
    config = parse_config(
        {
            "run": "bench",
            "catalog": {"source": str(folder / "grocery.csv")},
            "models": {"generator": model, "encoder": {"name": str(prepare_encoder())}, "base": model},
            "stages": {"describe": {"attempts": 1, "sampling": {"max_tokens": 64}}},
        },
        "bench",
    )
    pool = ModelPool(config.models, cache)
    products = [Product(str(n), f"Baked Beans No. {n}", {"aisle": "canned goods"}, "") for n in range(PRODUCTS)]
    settings = config.stages.describe
    requests = [
        Request(
            product.id,
            describe(product, settings.min_sentences, settings.max_sentences),
            to_sampling(settings.sampling),
        )
        for product in products
    ]
    engine = pool.text_engine(list)
    list(engine.generate(iter(requests[:4])))  # warm up
    bare, staged = [], []
    for _ in range(2):
        started = time.perf_counter()
        tokens = sum(result.completion_tokens for result in engine.generate(iter(requests)))
        bare.append(tokens / (time.perf_counter() - started))
        started = time.perf_counter()
        tokens = sum(made.completion_tokens for made in _stage(config, pool, folder).rows(_items(products)))
        staged.append(tokens / (time.perf_counter() - started))
    pool.close()
    return [
        Row("engine", "bare, 64 prompts, 64 new tokens", max(bare), "tokens/s"),
        Row("engine", "describe stage, same prompts", max(staged), "tokens/s"),
        Row("engine", "stage ÷ bare", max(staged) / max(bare), "×", "≥ 0.95"),
    ]


def _items(products: list[Product]) -> list[WorkItem]:
    return [WorkItem(product.id, product.id, product) for product in products]


def _stage(config: Config, pool: ModelPool, folder: Path) -> Describe:
    raise_never = Inputs(None, {}, {}, folder)  # type: ignore[arg-type]
    context = Context(
        config=config,
        inputs=raise_never,
        models={},
        scratch=folder,
        engine=lambda: pool.text_engine(list),
        encoder=pool.encoder,
        base=lambda: folder,
        source=lambda: folder,
        checkpoints=None,  # type: ignore[arg-type]
        judge=lambda role: pool.judge(list, role),
        check_judge=pool.check_judge,
    )
    return Describe(context)
