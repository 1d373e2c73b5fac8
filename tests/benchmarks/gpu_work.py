"""What else runs on a GPU: generation by the transformers engine, and the classifier over a whole catalog."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import numpy as np

from skutune.config.schema import ClassifyConfig, GeneratorConfig
from skutune.engines import build_text_engine
from skutune.engines.base import Request, Sampling
from skutune.engines.weights.locate import Weights
from skutune.linking.vectors import classifier
from tests.benchmarks.gpu_sizes import Sizes
from tests.benchmarks.gpu_training import MODEL
from tests.benchmarks.rows import Row


def generation(folder: Path, sizes: Sizes) -> list[Row]:
    """Tokens a second of the transformers engine, all prompts at the same time, after a first few."""
    config = GeneratorConfig(name=str(folder / MODEL), engine="transformers", batch_size=sizes.prompts)
    with closing(build_text_engine(config, Weights(folder / MODEL, "random"), names=list)) as engine:
        list(engine.generate(_requests(sizes, 2)))
        started = time.perf_counter()
        tokens = sum(result.completion_tokens for result in engine.generate(_requests(sizes, sizes.prompts)))
        seconds = time.perf_counter() - started
    what = f"transformers, {sizes.prompts} prompts, {sizes.new_tokens} new tokens"
    return [Row("generation", what, tokens / seconds, "tokens/s")]


def classify(folder: Path, sizes: Sizes) -> list[Row]:
    """The classifier's fit over products whose texts lie around a point of their own."""
    draw = np.random.default_rng(0)
    labels = np.repeat(np.arange(sizes.classes), sizes.texts)
    centres = draw.standard_normal((sizes.classes, sizes.dimension), dtype=np.float32)
    texts = centres[labels] + draw.standard_normal((len(labels), sizes.dimension), dtype=np.float32)
    settings = ClassifyConfig(epochs=sizes.epochs)
    started = time.perf_counter()
    _, figures = classifier.fit(classifier.unit(texts), labels, settings)
    seconds = time.perf_counter() - started
    what = f"fit, {sizes.classes:,} products, {len(labels):,} texts, {sizes.epochs} epochs at most"
    right = figures.get("accuracy_trained", figures["accuracy_centroid"])
    return [
        Row("classifier", what, seconds, "s"),
        Row("classifier", "held-out texts named right, trained", 100 * right, "%"),
        Row("classifier", "held-out texts named right, nearest neighbour", 100 * figures["accuracy_neighbour"], "%"),
    ]


def _requests(sizes: Sizes, count: int) -> list[Request]:
    asked = ({"role": "user", "content": "What goes well with a chicken fried steak?"},)
    return [Request(str(number), asked, Sampling(sizes.new_tokens, 0.7)) for number in range(count)]
