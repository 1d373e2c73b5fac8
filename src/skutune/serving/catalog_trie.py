"""The catalog's trie for the base model's tokenizer, stored beside the weights so that it is built once."""

from __future__ import annotations

import logging
from pathlib import Path

from skutune.decoding.trie import TokenTrie, build_trie
from skutune.decoding.vocabulary import load_vocabulary
from skutune.engines.chat import stop_tokens
from skutune.errors import InputError
from skutune.pipeline.stage_io import Inputs
from skutune.records import Coverage
from skutune.training.tokens import load_tokenizer

TRIE = "trie"
_log = logging.getLogger(__name__)


def write_trie(inputs: Inputs, base: Path, tokenizer_folder: Path, folder: Path) -> None:
    """Write the trie of all products into a folder, if catalog and tokenizer allow it.

    Ids and names come from the coverage ledger: a price that changes asks for no new training.

    Args:
        inputs: hold the output of compose.
        base: the base model, which may know further end tokens.
        tokenizer_folder: where the tokenizer lies that answers will be written with.
    """
    products = [(row.product_id, row.name) for row in inputs.rows("compose", Coverage, "coverage")]
    if not products:
        return
    tokenizer = load_tokenizer(tokenizer_folder)
    try:
        vocabulary = load_vocabulary(tokenizer, tuple(stop_tokens(tokenizer, generation_settings(base))))
        build_trie(products, tokenizer, vocabulary).save(folder)
    except InputError as error:
        # The weights took hours and are useful without it.
        _log.warning("no trie of the catalog is stored, so answers cannot be constrained: %s", error)


def generation_settings(base: Path) -> object:
    """What a model's folder says of generation; None where it says nothing."""
    from transformers import GenerationConfig

    if not (base / "generation_config.json").is_file():
        return None
    return GenerationConfig.from_pretrained(base)


def kept_trie(inputs: Inputs) -> TokenTrie | None:
    """The trie that a fine-tuning kept; None where it kept none."""
    if not inputs.manifest("finetune").files(f"{TRIE}/"):
        return None
    return TokenTrie.load(inputs.folder("finetune", TRIE))
