"""Constrained answers from random scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skutune import answer_format
from skutune.answer_format import AnswerText
from skutune.decoding.answer_matcher import AnswerMatcher
from skutune.decoding.vocabulary import Vocabulary

FAVOURED = ("\n", "(", "clos", "est", " product", ":", " *", ")", "\n\n\n", ".")
"""Tokens that lead to short lines and references."""


def write(
    matcher: AnswerMatcher, vocabulary: Vocabulary, rng: np.random.Generator, favoured: Sequence[str] = ()
) -> AnswerText:
    """Complete an answer from random scores, with a bias for the favoured tokens."""
    bias = np.zeros(len(vocabulary))
    bias[[vocabulary.by_bytes[text.encode()] for text in favoured if text.encode() in vocabulary.by_bytes]] = 14
    noise = rng.gumbel(size=len(vocabulary))
    while not matcher.ended and matcher.remaining:
        allowed = matcher.choices().token_ids()
        assert len(allowed)
        scores = np.roll(noise, len(matcher.tokens) * 97)[allowed] + bias[allowed]
        matcher.accept(int(allowed[scores.argmax()]))
    return answer_format.parse(matcher.text())
