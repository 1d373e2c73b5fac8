"""The token trie of the catalog: which tokens may follow `(closest product:`.

It holds ` NAME: id ID` for each product, tokenised as it is behind the marker, breadth first in flat arrays. The leaves
(products) are numbered in the order of their token sequences, so the products below a node are an interval. Which
products a slot may hold is a stock: for each leaf how many products are held before it. A child is dead when its
interval holds none, which is one subtraction: a set of its own for each slot, without copying the trie.
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
"""Sorted numbers of leaves."""
Stock = NDArray[np.int32]
"""How many products are held before each leaf and in all, shape (p + 1,), int32."""

_ARRAYS = ("tokens", "children", "first", "end", "lengths")
_TOKENISED_AT_ONCE = 4096


@dataclass(frozen=True, eq=False)
class TokenTrie:
    """The catalog's references as tokens. Node 0 is the root; n nodes, p products.

    `tokens[i]` leads to node i, whose children are the nodes from `children[i]` to `children[i + 1]`, and whose
    products are the leaves from `first[i]` to `end[i]`; shapes (n,), (n + 1,), (n,), (n,), int32. `lengths[leaf]`
    are the tokens of a product's reference, shape (p,), int32; `ids[leaf]` is its id.
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
        """The number of nodes, the root included."""
        return len(self.tokens)

    @property
    def nbytes(self) -> int:
        """The bytes of the arrays."""
        return sum(getattr(self, name).nbytes for name in _ARRAYS)

    @cached_property
    def _leaf_of(self) -> dict[str, int]:
        return {product_id: leaf for leaf, product_id in enumerate(self.ids)}

    def leaves_of(self, ids: Collection[str]) -> Leaves:
        """The leaves of these ids, sorted; ids that the catalog does not hold name nothing and are passed over."""
        found = {self._leaf_of[product_id] for product_id in ids if product_id in self._leaf_of}
        return np.array(sorted(found), np.int32)

    def longer_than(self, tokens: int) -> Leaves:
        """The products whose reference has more tokens than this."""
        return np.flatnonzero(self.lengths > tokens).astype(np.int32)

    def stock(self, leaves: Leaves) -> Stock:
        """The stock that holds these products, given as sorted leaves."""
        held = np.zeros(len(self.ids) + 1, np.int32)
        held[leaves + 1] = 1
        return np.cumsum(held).astype(np.int32)

    def stock_without(self, leaves: Leaves) -> Stock:
        """The stock that holds all products but these, given as sorted leaves."""
        counts: Stock = np.arange(len(self.ids) + 1, dtype=np.int32) - self.stock(leaves)
        return counts

    def living_children(self, node: int, stock: Stock) -> NDArray[np.int32]:
        """The children of a node below which the stock holds a product."""
        low, high = self.children[node], self.children[node + 1]
        held = stock[self.end[low:high]] > stock[self.first[low:high]]
        living: NDArray[np.int32] = np.flatnonzero(held).astype(np.int32) + low
        return living

    def child(self, node: int, token: int) -> int:
        """The child that a token leads to, or -1."""
        low, high = self.children[node], self.children[node + 1]
        at = low + int(np.searchsorted(self.tokens[low:high], token))
        return at if at < high and self.tokens[at] == token else -1

    def ends_at(self, node: int, depth: int, stock: Stock) -> bool:
        """Whether a whole reference of a product in stock ends at this node, which is `depth` tokens deep."""
        # Shorter sequences sort first, so a product that ends at a node is the first one of its interval.
        leaf = int(self.first[node])
        return bool(self.lengths[leaf] == depth and stock[leaf + 1] > stock[leaf])

    def save(self, folder: Path) -> None:
        """Write `trie.safetensors` and `trie.json` into a folder, which is made."""
        from safetensors.numpy import save_file

        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: getattr(self, name) for name in _ARRAYS}, folder / "trie.safetensors")
        document = {"vocabulary": self.vocabulary_digest, "ids": self.ids}
        (folder / "trie.json").write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> TokenTrie:
        """The trie that `save` wrote. Raises InputError where there is none."""
        from safetensors.numpy import load_file

        try:
            arrays = load_file(folder / "trie.safetensors")
            document = json.loads((folder / "trie.json").read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise InputError(f"{folder} has no trie of the catalog: {error.filename} is missing") from error
        return cls(**arrays, ids=tuple(document["ids"]), vocabulary_digest=document["vocabulary"])


def build_trie(products: Iterable[tuple[str, str]], tokenizer: Any, vocabulary: Vocabulary) -> TokenTrie:
    """The trie of (id, name) pairs.

    Raises:
        InputError: a product could not be read back from an answer, an id occurs twice, or the tokenizer has no
            tokens for a name.
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
            problems.append(Problem(f"product {product_id}", "its id occurs twice"))
        seen.add(product_id)
        try:
            parse_reference(render_reference(Reference(product_id, name)))
            f"{product_id}{name}".encode()
        except (FormatError, UnicodeEncodeError) as error:
            problems.append(Problem(f"product {product_id!r}", str(error)))
    if problems:
        raise InputError("these products cannot be named in an answer; correct the catalog", problems[:20])


def _tokenise(texts: Sequence[str], tokenizer: Any, vocabulary: Vocabulary) -> list[tuple[int, ...]]:
    """The tokens of each text behind the marker, as the tokenizer writes them in that place."""
    # A name may read like a special token ("<|im_end|>"): it is text here.
    options = {"add_special_tokens": False, "split_special_tokens": True, "return_attention_mask": False}
    marker = tokenizer(MARKER, **options)["input_ids"]
    sequences, problems = [], []
    for start in range(0, len(texts), _TOKENISED_AT_ONCE):
        batch = list(texts[start : start + _TOKENISED_AT_ONCE])
        for text, token_ids in zip(batch, tokenizer(batch, **options)["input_ids"], strict=True):
            tail = text[len(MARKER) :].encode()
            found = token_ids[len(marker) :] if token_ids[: len(marker)] == marker else []
            # Where the marker's last token merges with the name, or the tokenizer normalises, other tokens must do.
            if vocabulary.text_bytes(found) != tail:
                found = vocabulary.greedy(tail)
            if found is None:
                problems.append(Problem(text[len(MARKER) :].strip(), "the tokenizer has no tokens for it"))
            sequences.append(tuple(found or ()))
    if problems:
        raise InputError("the base model cannot write these products; correct their names", problems[:20])
    return sequences


def _breadth_first(sequences: Sequence[tuple[int, ...]]) -> dict[str, NDArray[np.int32]]:
    """The arrays of the trie of sorted, distinct sequences, one level at a time."""
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
