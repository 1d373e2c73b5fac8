"""Applies token masks to scores on their device.

A mask over the vocabulary is carried to the device once, as a row of a table that is added to scores: 0 where a token
may come, -inf where not. A step then names rows of the table, and the few tokens of a reference's next step, and the
rest is done where the scores are. Adding is also the fastest way on a CPU: filling by a mask branches at each token.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import torch

from skutune.decoding.answer_matcher import AnswerMatcher, EmptyAnswer
from skutune.decoding.masks import Mask

_KEPT = 256
"""Rows of the table: 200 KB each for a vocabulary of 50,000."""


class MaskTable:
    """A table of token masks for many answers.

    Args:
        width: the number of scores a row, at least that of the vocabulary's tokens.
        device: where the scores lie.
        together: add to all rows by one operation; default: not on a CPU, where that copies them all first.
    """

    def __init__(self, width: int, device: torch.device, *, together: bool | None = None) -> None:
        self._width, self._device = width, device
        self._together = device.type != "cpu" if together is None else together
        self._table = torch.zeros((0, width), device=device)
        self._rows: OrderedDict[int, tuple[int, Mask]] = OrderedDict()  # holds the masks, so that no id comes again

    def apply(self, scores: torch.Tensor, drafts: Mapping[int, AnswerMatcher | EmptyAnswer]) -> None:
        """Set the scores, shape (rows, width), of what a row's draft does not allow to -inf.

        Rows without a draft, and those whose draft has ended, are left as they are.
        """
        masked: dict[int, Mask] = {}
        listed: list[tuple[int, torch.Tensor]] = []
        for row, draft in drafts.items():
            if draft.ended:
                continue
            choices = draft.choices()
            if len(choices.masks) == 1 and not len(choices.tokens):
                masked[row] = choices.masks[0]
            else:
                listed.append((row, torch.from_numpy(choices.listed())))
        self._keep_listed(scores, listed)
        (self._add_together if self._together else self._add_each)(scores, masked)

    def _keep_listed(self, scores: torch.Tensor, listed: list[tuple[int, torch.Tensor]]) -> None:
        if not listed:
            return
        rows = torch.tensor([row for row, _ in listed])
        each = rows.repeat_interleave(torch.tensor([len(tokens) for _, tokens in listed])).to(self._device)
        tokens = torch.cat([tokens for _, tokens in listed]).to(self._device)
        kept = scores[each, tokens]
        scores.index_fill_(0, rows.to(self._device), float("-inf"))
        scores[each, tokens] = kept

    def _add_each(self, scores: torch.Tensor, masked: Mapping[int, Mask]) -> None:
        for row, mask in masked.items():
            place = self._place(mask)
            scores[row].add_(self._table[place])

    def _add_together(self, scores: torch.Tensor, masked: Mapping[int, Mask]) -> None:
        rows = list(masked)
        for start in range(0, len(rows), _KEPT):  # as many at a time as the table can hold
            chosen = rows[start : start + _KEPT]
            places = torch.tensor([self._place(masked[row]) for row in chosen], device=self._device)
            into = torch.tensor(chosen, device=self._device)
            scores.index_add_(0, into, self._table.index_select(0, places).to(scores.dtype))

    def _place(self, mask: Mask) -> int:
        """The table's row of a mask; the one that was used longest ago makes way."""
        known = self._rows.get(id(mask))
        if known is not None:
            self._rows.move_to_end(id(mask))
            return known[0]
        place = len(self._rows) if len(self._rows) < _KEPT else self._rows.popitem(last=False)[1][0]
        if place >= len(self._table):
            more = torch.zeros((min(_KEPT, 2 * place + 16) - place, self._width), device=self._device)
            self._table = torch.cat([self._table, more])
        row = torch.full((self._width,), float("-inf"))
        row[: len(mask)].masked_fill_(torch.tensor(mask), 0.0)
        self._table[place] = row.to(self._device)
        self._rows[id(mask)] = (place, mask)
        return place
