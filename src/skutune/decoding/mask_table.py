"""Applies token masks to scores on their device.

A mask over the vocabulary is copied to the device once, as a row of a table that is added to the scores: 0 for allowed
tokens, -inf for others. A step then transfers only row numbers, and the few token ids that may continue a reference.
Adding is also the fastest method on a CPU, because a masked fill branches at each token.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import torch

from skutune.decoding.answer_matcher import AnswerMatcher, EmptyAnswer
from skutune.decoding.masks import Mask

_MAX_ROWS = 256
"""Of the table; 200 KB each for a vocabulary of 50,000."""


class MaskTable:
    """An LRU cache of token masks on a device, shared by many answers.

    Args:
        width: the number of scores per row, at least the size of the vocabulary.
        device: the device of the scores.
        batched: add to all rows in one operation. Default: not on a CPU, where this copies all rows first.
    """

    def __init__(self, width: int, device: torch.device, *, batched: bool | None = None) -> None:
        self._width, self._device = width, device
        self._batched = device.type != "cpu" if batched is None else batched
        self._table = torch.zeros((0, width), device=device)
        # Keeps the masks alive, so that their ids stay unique.
        self._rows: OrderedDict[int, tuple[int, Mask]] = OrderedDict()

    def apply(self, scores: torch.Tensor, matchers: Mapping[int, AnswerMatcher | EmptyAnswer]) -> None:
        """Set the scores, shape (rows, width), of tokens that a row's matcher does not allow to -inf, in place.

        Rows without a matcher, and rows whose matcher has ended, are unchanged.
        """
        masked: dict[int, Mask] = {}
        token_ids: list[tuple[int, torch.Tensor]] = []
        for row, matcher in matchers.items():
            if matcher.ended:
                continue
            choices = matcher.choices()
            if len(choices.masks) == 1 and not len(choices.tokens):
                masked[row] = choices.masks[0]
            else:
                token_ids.append((row, torch.from_numpy(choices.token_ids())))
        self._apply_token_ids(scores, token_ids)
        (self._add_batched if self._batched else self._add_row_by_row)(scores, masked)

    def _apply_token_ids(self, scores: torch.Tensor, token_ids: list[tuple[int, torch.Tensor]]) -> None:
        if not token_ids:
            return
        rows = torch.tensor([row for row, _ in token_ids])
        row_of_token = rows.repeat_interleave(torch.tensor([len(tokens) for _, tokens in token_ids])).to(self._device)
        tokens = torch.cat([tokens for _, tokens in token_ids]).to(self._device)
        kept = scores[row_of_token, tokens]
        scores.index_fill_(0, rows.to(self._device), float("-inf"))
        scores[row_of_token, tokens] = kept

    def _add_row_by_row(self, scores: torch.Tensor, masked: Mapping[int, Mask]) -> None:
        for row, mask in masked.items():
            table_row = self._table_row(mask)
            scores[row].add_(self._table[table_row])

    def _add_batched(self, scores: torch.Tensor, masked: Mapping[int, Mask]) -> None:
        rows = list(masked)
        for start in range(0, len(rows), _MAX_ROWS):  # at most as many as the table can hold
            batch = rows[start : start + _MAX_ROWS]
            table_rows = torch.tensor([self._table_row(masked[row]) for row in batch], device=self._device)
            targets = torch.tensor(batch, device=self._device)
            scores.index_add_(0, targets, self._table.index_select(0, table_rows).to(scores.dtype))

    def _table_row(self, mask: Mask) -> int:
        """The table row of a mask; evicts the least recently used mask if the table is full."""
        cached = self._rows.get(id(mask))
        if cached is not None:
            self._rows.move_to_end(id(mask))
            return cached[0]
        table_row = len(self._rows) if len(self._rows) < _MAX_ROWS else self._rows.popitem(last=False)[1][0]
        if table_row >= len(self._table):
            new_rows = torch.zeros((min(_MAX_ROWS, 2 * table_row + 16) - table_row, self._width), device=self._device)
            self._table = torch.cat([self._table, new_rows])
        row = torch.full((self._width,), float("-inf"))
        row[: len(mask)].masked_fill_(torch.tensor(mask), 0.0)
        self._table[table_row] = row.to(self._device)
        self._rows[id(mask)] = (table_row, mask)
        return table_row
