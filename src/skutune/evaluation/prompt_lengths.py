"""Drops prompts that leave no room for an answer before a model is loaded; one of them would fail its whole batch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from skutune.errors import InputError
from skutune.prompts.asking import question_messages
from skutune.records import Example
from skutune.training.tokens import context_of, load_tokenizer, prompt_tokens


def drop_long_prompts(base: Path, examples: Sequence[Example], max_tokens: int) -> list[Example]:
    """Keep the examples whose prompt and an answer of `max_tokens` fit into the base model's context.

    Raises:
        InputError: there are examples, and none fits; or the base model's tokenizer or config cannot be read.
    """
    context, tokenizer = context_of(base), load_tokenizer(base)
    if context is None:
        return list(examples)
    lengths = [len(prompt_tokens(tokenizer, question_messages(example.prompt))) for example in examples]
    fitting = [each for each, length in zip(examples, lengths, strict=True) if length + max_tokens <= context]
    if examples and not fitting:
        raise InputError(
            f"stages.evaluate.max_tokens: prompts of {min(lengths)} or more tokens and answers of {max_tokens} "
            f"tokens exceed the base model's context of {context} tokens; lower it"
        )
    return fitting
