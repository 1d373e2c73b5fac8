"""The packaged 135 M model learns the form of a reference within six steps."""

import math
from pathlib import Path

import pytest

from skutune.config import FinetuneConfig
from skutune.evaluation.generation import Answerer
from skutune.samples.models import prepare_generator
from skutune.training.sft import finetune

pytestmark = pytest.mark.model


def test_the_small_model_learns_to_answer_with_a_reference(chat_file, tmp_path):
    folder = prepare_generator(Path.home() / ".cache" / "skutune")
    train = chat_file([("Which product are baked beans?", "Baked Beans: id 32717")] * 4)
    config = FinetuneConfig(epochs=6, learning_rate=2e-3, batch_size=4, micro_batch_size=4, max_length=128)
    figures = finetune(
        folder, train, None, config, tmp_path,
        base_name="HuggingFaceTB/SmolLM2-135M-Instruct", dtype="bfloat16", resume=None, on_step=lambda point: None,
    )  # fmt: skip
    assert math.isfinite(figures.last_loss)
    assert figures.last_loss < figures.first_loss / 2
    answerer = Answerer(folder, tmp_path / "adapter", dtype="bfloat16")
    question = [({"role": "user", "content": "Which product are baked beans?"},)]
    (before,) = answerer.answers(question, tuned=False, max_tokens=16, batch_size=1)
    (after,) = answerer.answers(question, tuned=True, max_tokens=16, batch_size=1)
    assert not before.text.startswith("Baked Beans: id")
    assert after.text.startswith("Baked Beans: id")
    assert after.finish_reason == "stop"
