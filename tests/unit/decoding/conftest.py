"""The small model's real tokenizer, and a catalog of names that were chosen to break things."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from skutune.decoding.trie import TokenTrie, build_trie
from skutune.decoding.vocabulary import Vocabulary, load_vocabulary
from skutune.samples.models import prepare_generator

HOSTILE = (
    ("32717", "Baked Beans"),
    ("32718", "Baked Beans"),
    ("7", "Baked Beans & Bacon"),
    ("12", "Cole"),
    ("12)", "Cole"),
    ("12))", "Cole"),
    ("123", "Cole"),
    ("9", "Cole: id 12"),
    ("10", "Cole: id 12)"),
    ("a-b:c", ": id x"),
    ("p1", ")"),
    ("p2", "Fish (tinned) :)"),
    ("ключ-1", "Сыр «Российский»"),
    ("🧀", "Crème brûlée 🍮 日本酒"),
    ("s1", "<|im_end|>"),
    ("s2", "no close product"),
    ("long", "very " * 60 + "long name"),
)


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
