"""Recall: which product a description is about, on trained and on held-out products.

Asked as in training, a model answers `NAME: id ID`. Only the id counts. Constrained, the completion is one of the
catalog's own lines, so that what is left to go wrong is which.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from skutune.answer_format import Reference
from skutune.evaluation.intervals import rate_of
from skutune.evaluation.rates import Rate
from skutune.prompts.identify import parse_identity, render_identity
from skutune.records import RecallResult

IDENTITY_TOKENS = 97
"""Tokens of a line and its end, constrained or not; a product with a longer name cannot be recalled."""


@dataclass(frozen=True, slots=True)
class Recall:
    """The share of descriptions of a split whose product a system identified, with intervals clustered by product."""

    split: str
    system: str
    descriptions: int
    right: Rate


class Identities:
    """The lines `NAME: id ID` of all products as sorted token lists, for prefix-constrained decoding."""

    def __init__(self, products: Iterable[tuple[str, str]], tokenizer: Any, ends: Sequence[int]) -> None:
        """`products` are (id, name) pairs, `ends` the tokens that end a text."""
        lines = [render_identity(Reference(product_id, name)) for product_id, name in products]
        # A name may read like a special token ("<|im_end|>"): it is text here.
        encoded = tokenizer(lines, add_special_tokens=False, split_special_tokens=True)["input_ids"] if lines else []
        self._lines = sorted(tuple(tokens) for tokens in encoded)
        self._ends = list(ends)
        self.following = lru_cache(maxsize=1024)(self._following)

    @property
    def max_tokens(self) -> int:
        """The length of the longest line in tokens, including the end token."""
        return min(max(map(len, self._lines), default=0) + 1, IDENTITY_TOKENS)

    def _following(self, written: tuple[int, ...]) -> list[int]:
        """The tokens that may come next, at least one."""
        size = len(written)
        at = bisect_left(self._lines, written)
        end = bisect_left(self._lines, (*written[:-1], written[-1] + 1)) if written else len(self._lines)
        next_tokens = sorted({line[size] for line in self._lines[at:end] if len(line) > size})
        is_whole = at < end and self._lines[at] == written
        return next_tokens + self._ends if is_whole or not next_tokens else next_tokens


class IdentityMask:
    """A transformers logits processor that restricts each row of a batch to the lines of the products."""

    def __init__(self, identities: Identities) -> None:
        self._identities, self._begin = identities, -1

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Mask the scores, shape (rows, tokens): -inf for tokens that continue no product's line."""
        if self._begin < 0:
            self._begin = input_ids.shape[1]
        allowed = scores.new_full(scores.shape, float("-inf"))
        for row, written in enumerate(input_ids[:, self._begin :].tolist()):
            allowed[row, self._identities.following(tuple(written))] = 0.0
        return scores + allowed


def recalled(product_id: str, split: str, system: str, text: str) -> RecallResult:
    """The reference in the first line of a completion."""
    line = text.strip().split("\n")[0]
    named = parse_identity(line) or Reference("", "")
    return RecallResult(product_id, split, system, line[:400], named.id, named.name, named.id == product_id)


def recalls(rows: Sequence[RecallResult], systems: Sequence[str]) -> list[Recall]:
    """Each system on each split, splits in alphabetical order."""
    results = []
    for split in sorted({row.split for row in rows}):
        for system in systems:
            own = [row for row in rows if (row.split, row.system) == (split, system)]
            if own:
                results.append(Recall(split, system, len(own), rate_of(list(_by_product(own).values()))))
    return results


def _by_product(rows: Iterable[RecallResult]) -> Mapping[str, tuple[int, int]]:
    counts: dict[str, tuple[int, int]] = {}
    for row in rows:
        hits, trials = counts.get(row.product_id, (0, 0))
        counts[row.product_id] = hits + row.right, trials + 1
    return counts
