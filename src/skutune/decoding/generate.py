"""Constrained generation with transformers: a logits processor masks the scores of each step."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from skutune.decoding.answer_matcher import Allowed, AnswerMatcher, Limits
from skutune.decoding.mask_table import MaskTable
from skutune.decoding.masks import Grammar
from skutune.decoding.trie import TokenTrie
from skutune.decoding.vocabulary import Vocabulary
from skutune.errors import InputError
from skutune.prompts.chat_template import TEMPLATE_SETTINGS

Chat = Sequence[Mapping[str, str]]
"""The messages of one prompt."""


class AnswerMask:
    """A transformers logits processor that constrains each row of a batch to the answer format.

    `matchers` are in the order of the rows. Beam search is not supported, because it reorders rows between steps.
    """

    def __init__(self, matchers: Sequence[AnswerMatcher]) -> None:
        self.matchers = matchers
        self._mask_table: Any = None  # created with the first scores, whose device it needs

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Set the scores, shape (rows, tokens), of tokens that are not allowed to -inf, in place."""
        if self._mask_table is None:
            self._mask_table = MaskTable(scores.shape[1], scores.device)
        else:
            self.accept(input_ids[:, -1].tolist())
        # Rows that have ended are padded by transformers.
        self._mask_table.apply(scores, dict(enumerate(self.matchers)))
        return scores

    def accept(self, tokens: Sequence[int]) -> None:
        """Pass each row's last token to its matcher, unless the row has ended."""
        for matcher, token in zip(self.matchers, tokens, strict=True):
            if not matcher.ended:
                matcher.accept(token)


class ConstrainedDecoder:
    """Generates answers that always parse, and that reference only available products of the catalog."""

    def __init__(self, vocabulary: Vocabulary, trie: TokenTrie, *, min_items: int = 1, max_items: int = 5) -> None:
        """Constrain answers to `min_items` to `max_items` recommendations.

        Raises:
            InputError: the trie was built for another tokenizer.
        """
        self.grammar = Grammar(vocabulary, trie, min_items, max_items)

    def generate(
        self,
        model: Any,
        tokenizer: Any,
        prompts: Sequence[Chat],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        unavailable: Collection[str] = (),
        allowed: Allowed | None = None,
        batch_size: int = 16,
    ) -> list[str]:
        """Generate one answer per prompt, in order; temperature 0 is greedy.

        `allowed` maps the name of a recommendation to the ids that its reference may have; if none of them is
        available, the reference is `(no close product)`.

        Raises:
            InputError: an answer does not fit into `max_tokens`, or prompt and answer exceed the model's context.
        """
        limits = Limits(self.grammar, max_tokens, unavailable)
        texts: list[str] = []
        for start in range(0, len(prompts), batch_size):
            matchers = [AnswerMatcher(limits, allowed) for _ in prompts[start : start + batch_size]]
            mask = AnswerMask(matchers)
            tokens = generate_tokens(
                model,
                tokenizer,
                prompts[start : start + batch_size],
                max_tokens=max_tokens,
                temperature=temperature,
                ends=self.grammar.vocabulary.ends,
                mask=mask,
            )
            # The mask has seen all tokens except the last ones of rows that had not ended.
            mask.accept([int(row[-1]) for row in tokens])
            texts += [matcher.text() for matcher in matchers]
        return texts


def generate_tokens(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Chat],
    *,
    max_tokens: int,
    temperature: float,
    ends: Sequence[int],
    mask: AnswerMask | None = None,
) -> Any:
    """Generate the tokens of one batch, shape (prompts, at most max_tokens), right-padded.

    Raises:
        InputError: the tokenizer has no chat template, or prompt and answer exceed the model's context.
    """
    import torch
    from transformers import GenerationConfig

    inputs = _tokenise(tokenizer, prompts).to(model.device)
    length = inputs["input_ids"].shape[1]
    context = getattr(model.config, "max_position_embeddings", None)
    if context is not None and length + max_tokens > context:
        raise InputError(f"a prompt of {length} tokens and an answer of {max_tokens} exceed the context of {context}")
    # All sampling parameters are set here; the model's generation config (penalties, suppressed tokens) is ignored.
    sampling = {"temperature": temperature, "top_k": 0, "top_p": 1.0} if temperature > 0 else {}
    config = GenerationConfig(
        max_new_tokens=max_tokens,
        do_sample=temperature > 0,
        num_beams=1,
        repetition_penalty=1.0,
        eos_token_id=list(ends),
        pad_token_id=ends[0],
        **sampling,
    )
    with torch.inference_mode(), _without_generation_defaults(model):
        output = model.generate(**inputs, generation_config=config, logits_processor=[mask] if mask else [])
    return output[:, length:]


@contextmanager
def _without_generation_defaults(model: Any) -> Iterator[None]:
    """Clear the model's generation config, which transformers uses for every parameter that a call leaves unset."""
    from transformers import GenerationConfig

    original, model.generation_config = model.generation_config, GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = original


def _tokenise(tokenizer: Any, prompts: Sequence[Chat]) -> Any:
    if not tokenizer.chat_template:
        raise InputError("the model's tokenizer has no chat template; use an instruction-tuned base model")
    chats = [
        tokenizer.apply_chat_template(list(prompt), tokenize=False, add_generation_prompt=True, **TEMPLATE_SETTINGS)
        for prompt in prompts
    ]
    # The chat template contains the special tokens. With left padding, all answers begin at the same position.
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    options = {"return_tensors": "pt", "padding": True, "padding_side": "left", "add_special_tokens": False}
    return tokenizer(chats, **options)
