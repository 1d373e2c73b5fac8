"""Whatever the device, exactly those scores become -inf whose tokens a draft does not allow."""

from __future__ import annotations

import numpy as np
import torch
from hostile_names import HOSTILE

from skutune.decoding import mask_table
from skutune.decoding.answer_matcher import AnswerMatcher, EmptyAnswer, Limits
from skutune.decoding.mask_table import MaskTable
from skutune.decoding.masks import Grammar

from .writing import NAMED

ROWS, SPARE = 4, 64


def test_scores_of_what_is_not_allowed_are_barred_and_no_others(vocabulary, hostile_trie, monkeypatch) -> None:
    monkeypatch.setattr(mask_table, "_KEPT", 3)  # masks make way for each other all the time
    width = len(vocabulary) + SPARE
    each, together = (MaskTable(width, torch.device("cpu"), together=way) for way in (False, True))
    limits = Limits(Grammar(vocabulary, hostile_trie, min_items=2), 110, {HOSTILE[0][0]})
    drafts: dict[int, AnswerMatcher | EmptyAnswer] = {row: AnswerMatcher(limits) for row in range(ROWS)}
    drafts[ROWS] = EmptyAnswer(vocabulary.ends)
    liking = torch.zeros(width)
    liking[[vocabulary.by_bytes[text.encode()] for text in NAMED]] = 14
    random, references = torch.Generator().manual_seed(0), 0
    noise = -torch.empty((32, width)).exponential_(generator=random).log()
    while not all(draft.ended for draft in drafts.values()):
        before = liking + noise[torch.randint(len(noise), (ROWS + 2,), generator=random)]
        scores, again = before.clone(), before.clone()
        each.apply(scores, drafts)
        together.apply(again, drafts)
        assert torch.equal(scores, again)
        for row, draft in drafts.items():
            expected = before[row].clone()
            if not draft.ended:
                choices = draft.choices()
                references += len(choices.tokens) > 0
                barred = np.ones(width, bool)
                barred[choices.listed()] = False
                expected[torch.from_numpy(barred)] = -torch.inf
                draft.accept(int(scores[row].argmax()))
            assert torch.equal(scores[row], expected)
        assert torch.equal(scores[ROWS + 1], before[ROWS + 1])
    assert references > 20
