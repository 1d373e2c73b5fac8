"""Constrained answers of the small LLM reference existing products, even at high temperatures."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from byte_model import save_base
from hostile_names import HOSTILE
from transformers import GenerationConfig

from skutune.errors import InputError
from skutune.serving.answer_model import AnswerModel

QUESTIONS = [f"What goes well with {food}?" for food in ("chicken fried steak", "tea", "a salad", "<|im_end|> fish")]


@pytest.fixture(scope="module")
def model(model_folder, hostile_trie):
    # One thread, because the threads of a small model wait for each other on a busy machine.
    torch.set_num_threads(1)
    return AnswerModel.load(model_folder, None, hostile_trie, dtype="float32", device="cpu")


@pytest.fixture
def biased(model):
    """The model with a bias for short lines and references, which it rarely generates without fine-tuning."""
    bias = torch.zeros(model.model.config.vocab_size)
    for text, weight in (("\n", 40), ("\n\n", 40), ("\n\n\n", 40), (" *", 40), (":", 25), ("clos", 20)):
        bias[model.vocabulary.by_bytes[text.encode()]] = weight
    bias[list(model.vocabulary.ends)] = 60
    hook = model.model.lm_head.register_forward_hook(lambda _module, _inputs, scores: scores + bias)
    yield model
    hook.remove()


@pytest.mark.model
@pytest.mark.parametrize(("temperature", "unavailable"), [(0.0, set()), (1.5, {"32717", "12", "🧀"})])
def test_references_exist_and_are_available(biased, temperature, unavailable):
    torch.manual_seed(0)
    answers = biased.ask_many(
        QUESTIONS * 2, max_tokens=110, temperature=temperature, unavailable=unavailable, batch_size=16
    )
    assert len(answers) == 2 * len(QUESTIONS)
    referenced = [item.product for answer in answers for item in answer.answer.items if item.product is not None]
    assert len(referenced) >= 6
    assert {(product.id, product.name) for product in referenced} <= {
        pair for pair in HOSTILE if pair[0] not in unavailable
    }


@pytest.mark.model
def test_unconstrained_generation_returns_text(model):
    (text,) = model.unconstrained(QUESTIONS[:1], max_tokens=12)
    assert text


def test_the_models_generation_config_is_ignored(tmp_path):
    base = save_base(tmp_path / "tiny", max_position_embeddings=2048)
    model = AnswerModel.load(base, None, [("1", "Tea"), ("2", "Rice")], dtype="float32", device="cpu")
    before = model.ask_many(QUESTIONS[:2], max_tokens=200), model.unconstrained(QUESTIONS[:2], max_tokens=20)
    # Suppresses all first tokens of an answer, and penalizes repetitions.
    generation_config = GenerationConfig(
        suppress_tokens=list(range(10, 250)), bad_words_ids=[[ord("e")]], no_repeat_ngram_size=2
    )
    model.model.generation_config = generation_config
    after = model.ask_many(QUESTIONS[:2], max_tokens=200), model.unconstrained(QUESTIONS[:2], max_tokens=20)
    assert after == before
    assert model.model.generation_config is generation_config


def test_a_folder_without_a_model_raises(tmp_path):
    with pytest.raises(InputError, match=r"is not the base model: it has no config\.json"):
        AnswerModel.load(tmp_path, None, [])


@pytest.mark.model
@pytest.mark.parametrize("fits", [True, False])
def test_a_stored_trie_of_another_tokenizer_is_rebuilt(model_folder, hostile_trie, caplog, fits):
    stored = hostile_trie if fits else replace(hostile_trie, vocabulary_digest="another")
    loaded = AnswerModel.load(model_folder, None, HOSTILE[:2], device="cpu", trie=stored)
    assert len(loaded.trie.ids) == (len(HOSTILE) if fits else 2)
    assert ("belongs to another tokenizer; rebuilding it" in caplog.text) != fits
