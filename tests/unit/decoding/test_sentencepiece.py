"""SentencePiece tokenizers with byte fallback, as of Llama 2: `▁` is a space."""

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

from .writing import FAVOURED, write

BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
TEXT = "Baked beans and coleslaw go well with it ( closest product : id ) no close product . They are * 3 2 7 1 Beans"


@pytest.fixture(scope="module")
def llama2() -> Any:
    """A small tokenizer trained on a few English words; other letters fall back to bytes."""
    trained = Tokenizer(models.BPE())
    trained.normalizer = normalizers.Replace(" ", "▁")
    trained.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    trained.train_from_iterator([TEXT], trainers.BpeTrainer(vocab_size=120, show_progress=False))
    merges = [tuple(merge) for merge in _model(trained)["merges"]]
    pieces = ["<unk>", "<s>", "</s>", *BYTES, "Ġ", *trained.get_vocab()]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    full = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    full.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    full.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=full, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def _model(tokenizer: Tokenizer) -> Any:
    return json.loads(tokenizer.to_str())["model"]


@pytest.fixture(scope="module")
def vocabulary(llama2: Any) -> Vocabulary:
    return load_vocabulary(llama2)


def test_tokens_are_decoded_to_their_bytes(llama2: Any, vocabulary: Vocabulary) -> None:
    for _, name in HOSTILE:
        tokens = llama2(name, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        assert vocabulary.text_bytes(tokens).decode() == " " + name
        assert llama2.decode(tokens) == name


def test_random_references_exist_and_are_available(llama2: Any, vocabulary: Vocabulary) -> None:
    grammar = Grammar(vocabulary, build_trie(HOSTILE, llama2, vocabulary), min_items=3)
    rng, referenced, references = np.random.default_rng(0), set(), 0
    for unavailable in [set(), {"32717", "12", "🧀"}] * 72:
        for item in write(AnswerMatcher(Limits(grammar, 900, unavailable)), vocabulary, rng, FAVOURED).items:
            if item.product is not None:
                referenced.add((item.product.id, item.product.name))
                references += 1
                assert item.product.id not in unavailable
    assert referenced <= set(HOSTILE)
    assert references >= 120
    assert len(referenced) >= 8  # training the tokenizer is not quite deterministic


def test_all_tokens_of_a_training_text_are_allowed(llama2: Any, vocabulary: Vocabulary) -> None:
    grammar = Grammar(vocabulary, build_trie(HOSTILE, llama2, vocabulary))
    for product in (HOSTILE[0], HOSTILE[12], HOSTILE[13]):
        item = answer_format.AnswerItem("Beans", "They go well with it.", answer_format.Reference(*product))
        text = answer_format.render(answer_format.AnswerText("Fine.", (item,), "Enjoy them."))
        matcher = AnswerMatcher(Limits(grammar, 400))
        for token in llama2(text, add_special_tokens=False)["input_ids"]:
            assert token in matcher.choices().token_ids(), (
                product,
                matcher.text(),
                llama2.convert_ids_to_tokens(token),
            )
            matcher.accept(token)
        assert matcher.is_complete
        assert matcher.text() == text


def test_a_tokenizer_without_bytes_raises() -> None:
    words = Tokenizer(models.WordLevel({"<unk>": 0, "beans": 1}, unk_token="<unk>"))
    with pytest.raises(InputError, match="neither byte-level nor SentencePiece"):
        load_vocabulary(PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", eos_token="<unk>"))
