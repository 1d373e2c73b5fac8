"""The token trie of the catalog: which tokens may follow `(closest product:`.

It contains ` NAME: id ID` for each product, tokenised as it is after the marker, in flat arrays in breadth-first order.
Leaves (products) are numbered in the order of their token sequences, so the products below a node form an interval. The
products that a slot may reference are given as prefix sums over the leaves: a node leads to an available product if the
sum increases over its interval, which costs one subtraction. Each slot has its own set without copying the trie.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skutune.answer_format import MARKER, FormatError, Reference, parse_reference, render_reference
from skutune.decoding.vocabulary import Vocabulary
from skutune.errors import InputError, Problem

Leaves = NDArray[np.int32]
"""Sorted leaf numbers."""
Availability = NDArray[np.int32]
"""A set of products as prefix sums: the number of them before each leaf, and in total; shape (p + 1,), int32."""

_ARRAYS = ("tokens", "children", "first", "end", "lengths")
_TOKENIZER_BATCH = 4096


@dataclass(frozen=True, eq=False)
class TokenTrie:
    """The catalog's references as token sequences; n nodes (node 0 is the root), p products.

    `tokens[i]` is the token that leads to node i, `children[i]:children[i + 1]` are its child nodes, and
    `first[i]:end[i]` are the leaves below it; shapes (n,), (n + 1,), (n,), (n,), int32. `lengths[leaf]` is the number
    of tokens of a product's reference, shape (p,), int32; `ids[leaf]` is the product's id.
    """

    tokens: NDArray[np.int32]
    children: NDArray[np.int32]
    first: NDArray[np.int32]
    end: NDArray[np.int32]
    lengths: NDArray[np.int32]
    ids: tuple[str, ...]
    vocabulary_digest: str

    @property
    def nodes(self) -> int:
        """The number of nodes, including the root."""
        return len(self.tokens)

    @property
    def nbytes(self) -> int:
        """The size of the arrays in bytes."""
        return sum(getattr(self, name).nbytes for name in _ARRAYS)

    @cached_property
    def _leaf_of(self) -> dict[str, int]:
        return {product_id: leaf for leaf, product_id in enumerate(self.ids)}

    def leaves_of(self, ids: Collection[str]) -> Leaves:
        """The sorted leaves of these ids; ids that are not in the catalog are ignored."""
        leaves = {self._leaf_of[product_id] for product_id in ids if product_id in self._leaf_of}
        return np.array(sorted(leaves), np.int32)

    def longer_than(self, tokens: int) -> Leaves:
        """The products whose references have more tokens than this."""
        return np.flatnonzero(self.lengths > tokens).astype(np.int32)

    def availability(self, leaves: Leaves) -> Availability:
        """Prefix sums in which only these products, given as sorted leaves, are available."""
        is_available = np.zeros(len(self.ids) + 1, np.int32)
        is_available[leaves + 1] = 1
        return np.cumsum(is_available).astype(np.int32)

    def availability_without(self, leaves: Leaves) -> Availability:
        """Prefix sums in which all products except these, given as sorted leaves, are available."""
        counts: Availability = np.arange(len(self.ids) + 1, dtype=np.int32) - self.availability(leaves)
        return counts

    def available_children(self, node: int, available: Availability) -> NDArray[np.int32]:
        """The children of a node that lead to an available product."""
        low, high = self.children[node], self.children[node + 1]
        is_available = available[self.end[low:high]] > available[self.first[low:high]]
        children: NDArray[np.int32] = np.flatnonzero(is_available).astype(np.int32) + low
        return children

    def child(self, node: int, token: int) -> int:
        """The child of a node by token, or -1."""
        low, high = self.children[node], self.children[node + 1]
        child = low + int(np.searchsorted(self.tokens[low:high], token))
        return child if child < high and self.tokens[child] == token else -1

    def ends_at(self, node: int, depth: int, available: Availability) -> bool:
        """Whether the reference of an available product ends at this node, which is `depth` tokens deep."""
        # Shorter sequences sort first, so a product that ends at a node is the first of the node's interval.
        leaf = int(self.first[node])
        return bool(self.lengths[leaf] == depth and available[leaf + 1] > available[leaf])

    def save(self, folder: Path) -> None:
        """Write `trie.safetensors` and `trie.json` to a folder, creating it if necessary."""
        from safetensors.numpy import save_file

        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: getattr(self, name) for name in _ARRAYS}, folder / "trie.safetensors")
        document = {"vocabulary": self.vocabulary_digest, "ids": self.ids}
        (folder / "trie.json").write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> TokenTrie:
        """Load a trie that `save` wrote. Raises InputError if there is none."""
        from safetensors.numpy import load_file

        try:
            arrays = load_file(folder / "trie.safetensors")
            document = json.loads((folder / "trie.json").read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise InputError(f"{folder} has no catalog trie: {error.filename} is missing") from error
        return cls(**arrays, ids=tuple(document["ids"]), vocabulary_digest=document["vocabulary"])


def build_trie(products: Iterable[tuple[str, str]], tokenizer: Any, vocabulary: Vocabulary) -> TokenTrie:
    """Build the trie of (id, name) pairs.

    Raises:
        InputError: a reference does not survive the round trip through an answer, an id is duplicated, or the
            tokenizer cannot encode a name.
    """
    pairs = list(products)
    _check(pairs)
    texts = [render_reference(Reference(product_id, name))[:-1] for product_id, name in pairs]
    sequences = _tokenise(texts, tokenizer, vocabulary)
    order = sorted(range(len(pairs)), key=sequences.__getitem__)
    arrays = _breadth_first([sequences[number] for number in order])
    return TokenTrie(**arrays, ids=tuple(pairs[number][0] for number in order), vocabulary_digest=vocabulary.digest)


def _check(pairs: Sequence[tuple[str, str]]) -> None:
    problems, seen = [], set()
    for product_id, name in pairs:
        if product_id in seen:
            problems.append(Problem(f"product {product_id}", "duplicate id"))
        seen.add(product_id)
        try:
            parse_reference(render_reference(Reference(product_id, name)))
            f"{product_id}{name}".encode()
        except (FormatError, UnicodeEncodeError) as error:
            problems.append(Problem(f"product {product_id!r}", str(error)))
    if problems:
        raise InputError("these products cannot be referenced in an answer; correct the catalog", problems[:20])


def _tokenise(texts: Sequence[str], tokenizer: Any, vocabulary: Vocabulary) -> list[tuple[int, ...]]:
    """The tokens of each text after the marker, as the tokenizer encodes them in this context."""
    # A name may look like a special token ("<|im_end|>"); here it is plain text.
    options = {"add_special_tokens": False, "split_special_tokens": True, "return_attention_mask": False}
    marker = tokenizer(MARKER, **options)["input_ids"]
    sequences, problems = [], []
    for start in range(0, len(texts), _TOKENIZER_BATCH):
        batch = list(texts[start : start + _TOKENIZER_BATCH])
        for text, token_ids in zip(batch, tokenizer(batch, **options)["input_ids"], strict=True):
            tail = text[len(MARKER) :].encode()
            tail_ids = token_ids[len(marker) :] if token_ids[: len(marker)] == marker else []
            # If the marker's last token merges with the name, or the tokenizer normalises, fall back to greedy tokens.
            if vocabulary.text_bytes(tail_ids) != tail:
                tail_ids = vocabulary.greedy_tokens(tail)
            if tail_ids is None:
                problems.append(Problem(text[len(MARKER) :].strip(), "the tokenizer cannot encode it"))
            sequences.append(tuple(tail_ids or ()))
    if problems:
        raise InputError("the base model cannot generate these products; correct their names", problems[:20])
    return sequences


def _breadth_first(sequences: Sequence[tuple[int, ...]]) -> dict[str, NDArray[np.int32]]:
    """Build the trie arrays of sorted, distinct sequences, level by level."""
    lengths = np.fromiter(map(len, sequences), np.int64, len(sequences))
    flat = np.fromiter((token for sequence in sequences for token in sequence), np.int64, int(lengths.sum()))
    starts = np.cumsum(lengths) - lengths
    active = np.arange(len(sequences))
    parent = np.zeros(len(sequences), np.int64)
    tokens, parents, firsts, ends = [np.array([-1])], [np.array([-1])], [np.array([0])], [np.array([len(sequences)])]
    nodes = 1
    for depth in range(int(lengths.max(initial=0))):
        kept = lengths[active] > depth
        active, parent = active[kept], parent[kept]
        token = flat[starts[active] + depth]
        new = np.ones(len(active), bool)
        new[1:] = (token[1:] != token[:-1]) | (parent[1:] != parent[:-1])
        heads = np.flatnonzero(new)
        tokens.append(token[heads])
        parents.append(parent[heads])
        firsts.append(active[heads])
        ends.append(active[np.append(heads[1:], len(active)) - 1] + 1)
        parent = nodes + np.cumsum(new) - 1
        nodes += len(heads)
    children = 1 + np.searchsorted(np.concatenate(parents)[1:], np.arange(nodes + 1))
    arrays = {
        "tokens": np.concatenate(tokens),
        "children": children,
        "first": np.concatenate(firsts),
        "end": np.concatenate(ends),
        "lengths": lengths,
    }
    return {name: array.astype(np.int32) for name, array in arrays.items()}
