"""The packaged 135 M model learns the form of a reference within ten steps."""

import math
from pathlib import Path

import pytest

from skutune.config.schema import FinetuneConfig
from skutune.samples.models import prepare_generator
from skutune.serving.answer_model import AnswerModel
from skutune.training.sft import finetune

pytestmark = pytest.mark.model


def test_the_small_model_learns_to_answer_with_a_reference(chat_file, tmp_path):
    folder = prepare_generator(Path.home() / ".cache" / "skutune")
    train = chat_file([("Which product are baked beans?", "Baked Beans: id 32717")] * 4)
    config = FinetuneConfig(epochs=10, learning_rate=2e-3, batch_size=4, micro_batch_size=4, max_length=128)
    figures = finetune(
        folder, train, None, config, tmp_path,
        base_name="HuggingFaceTB/SmolLM2-135M-Instruct", dtype="bfloat16", resume=None, on_step=lambda point: None,
    )  # fmt: skip
    assert math.isfinite(figures.last_loss)
    assert figures.last_loss < figures.first_loss / 2
    products = [("32717", "Baked Beans")]
    before = AnswerModel.load(folder, None, products, dtype="bfloat16")
    after = AnswerModel.load(folder, tmp_path / "adapter", products, dtype="bfloat16")
    question = ["Which product are baked beans?"]
    assert not before.unconstrained(question, max_tokens=16)[0].startswith("Baked Beans: id")
    assert after.unconstrained(question, max_tokens=16)[0] == "Baked Beans: id 32717"
