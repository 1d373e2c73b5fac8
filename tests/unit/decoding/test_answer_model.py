"""The small real model, far above the temperature at which it makes sense, still answers with real products."""

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
    # One thread: on a busy machine the threads of a small model wait for each other.
    torch.set_num_threads(1)
    return AnswerModel.load(model_folder, None, hostile_trie, dtype="float32", device="cpu")


@pytest.fixture
def nudged(model):
    """The model with a liking for short lines and for references, which untuned it hardly ever writes."""
    liking = torch.zeros(model.model.config.vocab_size)
    for text, much in (("\n", 40), ("\n\n", 40), ("\n\n\n", 40), (" *", 40), (":", 25), ("clos", 20)):
        liking[model.vocabulary.by_bytes[text.encode()]] = much
    liking[list(model.vocabulary.ends)] = 60
    hook = model.model.lm_head.register_forward_hook(lambda _module, _inputs, scores: scores + liking)
    yield model
    hook.remove()


@pytest.mark.model
@pytest.mark.parametrize(("temperature", "gone"), [(0.0, set()), (1.5, {"32717", "12", "🧀"})])
def test_the_models_references_are_real_and_available(nudged, temperature, gone):
    torch.manual_seed(0)
    answered = nudged.ask_many(QUESTIONS * 2, max_tokens=110, temperature=temperature, unavailable=gone, batch_size=16)
    assert len(answered) == 2 * len(QUESTIONS)
    named = [item.product for one in answered for item in one.answer.items if item.product is not None]
    assert len(named) >= 6
    assert {(product.id, product.name) for product in named} <= {pair for pair in HOSTILE if pair[0] not in gone}


@pytest.mark.model
def test_without_the_constraint_the_model_writes_what_it_likes(model):
    (text,) = model.unconstrained(QUESTIONS[:1], max_tokens=12)
    assert text


def test_what_a_models_folder_suggests_for_generation_changes_no_answer(tmp_path):
    base = save_base(tmp_path / "tiny", max_position_embeddings=2048)
    model = AnswerModel.load(base, None, [("1", "Tea"), ("2", "Rice")], dtype="float32", device="cpu")
    before = model.ask_many(QUESTIONS[:2], max_tokens=200), model.unconstrained(QUESTIONS[:2], max_tokens=20)
    # Nothing that can begin an answer, and a penalty that ends in other words.
    suggested = GenerationConfig(
        suppress_tokens=list(range(10, 250)), bad_words_ids=[[ord("e")]], no_repeat_ngram_size=2
    )
    model.model.generation_config = suggested
    after = model.ask_many(QUESTIONS[:2], max_tokens=200), model.unconstrained(QUESTIONS[:2], max_tokens=20)
    assert after == before
    assert model.model.generation_config is suggested


def test_a_folder_that_holds_no_model_is_named(tmp_path):
    with pytest.raises(InputError, match=r"is not the base model: it has no config\.json"):
        AnswerModel.load(tmp_path, None, [])


@pytest.mark.model
@pytest.mark.parametrize("fits", [True, False])
def test_a_kept_trie_is_taken_where_it_fits_the_tokenizer_and_else_built_again(
    model_folder, hostile_trie, caplog, fits
):
    kept = hostile_trie if fits else replace(hostile_trie, vocabulary_digest="another")
    loaded = AnswerModel.load(model_folder, None, HOSTILE[:2], device="cpu", trie=kept)
    assert len(loaded.trie.ids) == (len(HOSTILE) if fits else 2)
    assert ("belongs to another tokenizer; rebuilding it" in caplog.text) != fits
