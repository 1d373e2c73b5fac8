"""The tokenizer of the small LLM, and the trie of a catalog of hostile names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hostile_names import HOSTILE

from skutune.decoding.trie import TokenTrie, build_trie
from skutune.decoding.vocabulary import Vocabulary, load_vocabulary
from skutune.samples.models import prepare_generator


@pytest.fixture(scope="session")
def model_folder() -> Path:
    return prepare_generator(Path.home() / ".cache" / "skutune")


@pytest.fixture(scope="session")
def tokenizer(model_folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(model_folder)


@pytest.fixture(scope="session")
def vocabulary(tokenizer: Any) -> Vocabulary:
    return load_vocabulary(tokenizer)


@pytest.fixture(scope="session")
def hostile_trie(tokenizer: Any, vocabulary: Vocabulary) -> TokenTrie:
    return build_trie(HOSTILE, tokenizer, vocabulary)
