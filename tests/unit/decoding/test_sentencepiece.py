"""Tokenizers of Llama 2's kind: SentencePiece, where `▁` is a space and what has no token is written in bytes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hostile_names import HOSTILE
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from skutune import answer_format
from skutune.decoding.answer_matcher import AnswerMatcher, Limits
from skutune.decoding.masks import Grammar
from skutune.decoding.trie import build_trie
from skutune.decoding.vocabulary import Vocabulary, load_vocabulary
from skutune.errors import InputError

from .writing import NAMED, write

BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
TEXT = "Baked beans and coleslaw go well with it ( closest product : id ) no close product . They are * 3 2 7 1 Beans"


@pytest.fixture(scope="module")
def llama2() -> Any:
    """A small tokenizer that was trained on a few English texts: it has no token for any other letter."""
    trained = Tokenizer(models.BPE())
    trained.normalizer = normalizers.Replace(" ", "▁")
    trained.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    trained.train_from_iterator([TEXT], trainers.BpeTrainer(vocab_size=120, show_progress=False))
    merges = [tuple(merge) for merge in _model(trained)["merges"]]
    pieces = ["<unk>", "<s>", "</s>", *BYTES, "Ġ", *trained.get_vocab()]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    whole = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    whole.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    whole.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=whole, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def _model(tokenizer: Tokenizer) -> Any:
    return json.loads(tokenizer.to_str())["model"]


@pytest.fixture(scope="module")
def vocabulary(llama2: Any) -> Vocabulary:
    return load_vocabulary(llama2)


def test_tokens_are_read_as_the_bytes_that_they_write(llama2: Any, vocabulary: Vocabulary) -> None:
    for _, name in HOSTILE:
        tokens = llama2(name, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        assert vocabulary.text_bytes(tokens).decode() == " " + name
        assert llama2.decode(tokens) == name


def test_random_references_are_real_and_available(llama2: Any, vocabulary: Vocabulary) -> None:
    grammar = Grammar(vocabulary, build_trie(HOSTILE, llama2, vocabulary), min_items=3)
    rng, seen, references = np.random.default_rng(0), set(), 0
    for gone in [set(), {"32717", "12", "🧀"}] * 72:
        for item in write(AnswerMatcher(Limits(grammar, 900, gone)), vocabulary, rng, NAMED).items:
            if item.product is not None:
                seen.add((item.product.id, item.product.name))
                references += 1
                assert item.product.id not in gone
    assert seen <= set(HOSTILE)
    assert references >= 120
    assert len(seen) >= 8  # the tokenizer that is trained here differs a little from time to time


def test_the_tokens_of_a_training_text_are_all_allowed(llama2: Any, vocabulary: Vocabulary) -> None:
    grammar = Grammar(vocabulary, build_trie(HOSTILE, llama2, vocabulary))
    for product in (HOSTILE[0], HOSTILE[12], HOSTILE[13]):
        item = answer_format.AnswerItem("Beans", "They go well with it.", answer_format.Reference(*product))
        text = answer_format.render(answer_format.AnswerText("Fine.", (item,), "Enjoy them."))
        draft = AnswerMatcher(Limits(grammar, 400))
        for token in llama2(text, add_special_tokens=False)["input_ids"]:
            assert token in draft.choices().listed(), (product, draft.text(), llama2.convert_ids_to_tokens(token))
            draft.accept(token)
        assert draft.is_whole
        assert draft.text() == text


def test_a_tokenizer_that_writes_no_bytes_is_refused() -> None:
    words = Tokenizer(models.WordLevel({"<unk>": 0, "beans": 1}, unk_token="<unk>"))
    with pytest.raises(InputError, match="neither byte-level nor SentencePiece"):
        load_vocabulary(PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", eos_token="<unk>"))
