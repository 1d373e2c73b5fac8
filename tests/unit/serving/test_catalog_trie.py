"""Fine-tuning stores a catalog trie if the catalog and the tokenizer support one."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GenerationConfig, PreTrainedTokenizerFast

from skutune.decoding.trie import TokenTrie
from skutune.decoding.vocabulary import load_vocabulary
from skutune.pipeline.manifests import Manifest, Stats
from skutune.pipeline.stage_io import Inputs, Outputs
from skutune.records import Coverage
from skutune.serving.catalog_trie import TRIE, load_trie, write_trie
from skutune.store.local import LocalStore
from skutune.training.tokens import load_tokenizer


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A base model's folder with only its tokenizer and generation config."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: number for number, letter in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|end|>"])
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>").save_pretrained(tmp_path / "base")
    GenerationConfig(eos_token_id=[256, letters.index("~")]).save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def ledger(folder: Path, *names: str) -> tuple[Inputs, LocalStore]:
    """A run whose coverage ledger lists products with these names and ids 1, 2, …"""
    store = LocalStore(folder / "store")
    outputs = Outputs(store, "run/compose/f")
    rows = [Coverage(str(number), name, 0, 0, 0, False, False, {}) for number, name in enumerate(names, start=1)]
    outputs.part(Coverage, 0, rows, "coverage")
    manifests = {"compose": Manifest("compose", "f", 1, tuple(outputs.entries), Stats(), {}, {})}
    return Inputs(store, {"compose": "run/compose/f"}, manifests, folder / "scratch"), store


def finetuned(inputs: Inputs, store: LocalStore, folder: Path) -> Inputs:
    """The same run after a fine-tuning that stored this folder as its trie."""
    outputs = Outputs(store, "run/finetune/f")
    outputs.folder(TRIE, folder)
    manifest = Manifest("finetune", "f", 1, tuple(outputs.entries), Stats(), {}, {})
    return Inputs(store, {"finetune": "run/finetune/f"}, {"finetune": manifest}, folder.parent / "scratch")


def test_the_stored_trie_matches_the_tokenizer_and_the_end_tokens_of_the_base(base: Path, tmp_path: Path) -> None:
    inputs, store = ledger(tmp_path, "Baked Beans", "Coleslaw")
    write_trie(inputs, base, base, tmp_path / TRIE)
    trie = load_trie(finetuned(inputs, store, tmp_path / TRIE))
    assert isinstance(trie, TokenTrie)
    assert sorted(trie.ids) == ["1", "2"]
    tokenizer = load_tokenizer(base)
    ends = (tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("~"))
    assert trie.vocabulary_digest == load_vocabulary(tokenizer, ends).digest
    assert trie.vocabulary_digest != load_vocabulary(tokenizer).digest


def test_a_product_that_cannot_be_referenced_prevents_the_trie_but_not_the_training(
    base: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    inputs, store = ledger(tmp_path, "Baked Beans", " led by a space")
    with caplog.at_level(logging.WARNING):
        write_trie(inputs, base, base, tmp_path / TRIE)
    assert "no catalog trie is stored, so answers cannot be constrained" in caplog.text
    assert load_trie(finetuned(inputs, store, tmp_path / TRIE)) is None
