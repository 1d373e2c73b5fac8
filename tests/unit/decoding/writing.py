"""A model that draws at random, and what it writes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skutune import answer_format
from skutune.answer_format import AnswerText
from skutune.decoding.answer_matcher import AnswerMatcher
from skutune.decoding.vocabulary import Vocabulary

NAMED = ("\n", "(", "clos", "est", " product", ":", " *", ")", "\n\n\n", ".")
"""Tokens that make short lines and references."""


def write(
    draft: AnswerMatcher, vocabulary: Vocabulary, rng: np.random.Generator, favour: Sequence[str] = ()
) -> AnswerText:
    """Complete a draft with a model that draws at random, but likes some tokens."""
    liked = np.zeros(len(vocabulary))
    liked[[vocabulary.by_bytes[text.encode()] for text in favour if text.encode() in vocabulary.by_bytes]] = 14
    noise = rng.gumbel(size=len(vocabulary))
    while not draft.ended and draft.remaining:
        allowed = draft.choices().listed()
        assert len(allowed)
        scores = np.roll(noise, len(draft.tokens) * 97)[allowed] + liked[allowed]
        draft.accept(int(allowed[scores.argmax()]))
    return answer_format.parse(draft.text())
