"""Exactly the scores of tokens that a matcher does not allow become -inf, row by row and batched."""

from __future__ import annotations

import numpy as np
import torch
from hostile_names import HOSTILE

from skutune.decoding import mask_table
from skutune.decoding.answer_matcher import AnswerMatcher, EmptyAnswer, Limits
from skutune.decoding.mask_table import MaskTable
from skutune.decoding.masks import Grammar

from .writing import FAVOURED

ROWS, SPARE = 4, 64


def test_only_scores_of_tokens_that_are_not_allowed_become_minus_infinity(
    vocabulary, hostile_trie, monkeypatch
) -> None:
    monkeypatch.setattr(mask_table, "_MAX_ROWS", 3)  # masks are evicted all the time
    width = len(vocabulary) + SPARE
    row_by_row, batched = (MaskTable(width, torch.device("cpu"), batched=is_batched) for is_batched in (False, True))
    limits = Limits(Grammar(vocabulary, hostile_trie, min_items=2), 110, {HOSTILE[0][0]})
    matchers: dict[int, AnswerMatcher | EmptyAnswer] = {row: AnswerMatcher(limits) for row in range(ROWS)}
    matchers[ROWS] = EmptyAnswer(vocabulary.ends)
    bias = torch.zeros(width)
    bias[[vocabulary.by_bytes[text.encode()] for text in FAVOURED]] = 14
    random, references = torch.Generator().manual_seed(0), 0
    noise = -torch.empty((32, width)).exponential_(generator=random).log()
    while not all(matcher.ended for matcher in matchers.values()):
        before = bias + noise[torch.randint(len(noise), (ROWS + 2,), generator=random)]
        scores, batched_scores = before.clone(), before.clone()
        row_by_row.apply(scores, matchers)
        batched.apply(batched_scores, matchers)
        assert torch.equal(scores, batched_scores)
        for row, matcher in matchers.items():
            expected = before[row].clone()
            if not matcher.ended:
                choices = matcher.choices()
                references += len(choices.tokens) > 0
                excluded = np.ones(width, bool)
                excluded[choices.token_ids()] = False
                expected[torch.from_numpy(excluded)] = -torch.inf
                matcher.accept(int(scores[row].argmax()))
            assert torch.equal(scores[row], expected)
        assert torch.equal(scores[ROWS + 1], before[ROWS + 1])
    assert references > 20
