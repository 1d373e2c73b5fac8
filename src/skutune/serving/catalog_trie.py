"""The catalog trie for the base model's tokenizer, built once and stored next to the weights."""

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
    """Write the trie of all products to a folder; logs a warning if catalog or tokenizer do not support one.

    Ids and names come from the coverage ledger, so that a changed attribute (a price) does not require new training.

    Args:
        inputs: include the output of compose.
        base: the base model, whose generation config may define further end tokens.
        tokenizer_folder: the folder of the tokenizer that generates the answers.
        folder: the target folder.
    """
    products = [(row.product_id, row.name) for row in inputs.rows("compose", Coverage, "coverage")]
    if not products:
        return
    tokenizer = load_tokenizer(tokenizer_folder)
    try:
        vocabulary = load_vocabulary(tokenizer, tuple(stop_tokens(tokenizer, generation_settings(base))))
        build_trie(products, tokenizer, vocabulary).save(folder)
    except InputError as error:
        # Not an error: the weights took hours, and are useful without a trie.
        _log.warning("no catalog trie is stored, so answers cannot be constrained: %s", error)


def generation_settings(base: Path) -> object:
    """The generation config of a model's folder, or None."""
    from transformers import GenerationConfig

    if not (base / "generation_config.json").is_file():
        return None
    return GenerationConfig.from_pretrained(base)


def load_trie(inputs: Inputs) -> TokenTrie | None:
    """Load the trie that finetune stored; None if there is none."""
    if not inputs.manifest("finetune").files(f"{TRIE}/"):
        return None
    return TokenTrie.load(inputs.folder("finetune", TRIE))
