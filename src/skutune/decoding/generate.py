"""Constrained answers with transformers: `generate` with a mask over each step's scores."""

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
    """A logits processor of transformers that keeps each row of a batch in the answer format.

    Rows are drafts in the order of the batch. Beam search moves rows between steps and is not supported.
    """

    def __init__(self, drafts: Sequence[AnswerMatcher]) -> None:
        self.drafts = drafts
        self._bars: Any = None  # made when the scores have come, which say where they lie

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """The scores, shape (rows, tokens), with -inf for what is not allowed next; written in place."""
        if self._bars is None:
            self._bars = MaskTable(scores.shape[1], scores.device)
        else:
            self.accept(input_ids[:, -1].tolist())
        # What follows a row's end is padding, which transformers writes by itself.
        self._bars.apply(scores, dict(enumerate(self.drafts)))
        return scores

    def accept(self, tokens: Sequence[int]) -> None:
        """Write the last token of each row that has not ended."""
        for draft, token in zip(self.drafts, tokens, strict=True):
            if not draft.ended:
                draft.accept(token)


class ConstrainedDecoder:
    """Answers that always parse, and that name only products of the catalog that are available."""

    def __init__(self, vocabulary: Vocabulary, trie: TokenTrie, *, min_items: int = 1, max_items: int = 5) -> None:
        """`min_items` to `max_items` recommendations an answer; the model chooses.

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
        """One answer for each prompt, in their order; temperature 0 is greedy.

        With `allowed` the slot of a recommendation holds one of the products that it names for the recommendation's
        name, and where it names none that is available, `(no close product)`.

        Raises:
            InputError: an answer does not fit into `max_tokens`, or a prompt and it into the model's context.
        """
        limits = Limits(self.grammar, max_tokens, unavailable)
        texts: list[str] = []
        for start in range(0, len(prompts), batch_size):
            drafts = [AnswerMatcher(limits, allowed) for _ in prompts[start : start + batch_size]]
            mask = AnswerMask(drafts)
            tokens = generate_tokens(
                model,
                tokenizer,
                prompts[start : start + batch_size],
                max_tokens=max_tokens,
                temperature=temperature,
                ends=self.grammar.vocabulary.ends,
                mask=mask,
            )
            # The mask saw every token but the last of those rows that were still going.
            mask.accept([int(row[-1]) for row in tokens])
            texts += [draft.text() for draft in drafts]
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
    """The new tokens of one batch, shape (prompts, at most max_tokens), right-padded.

    Raises:
        InputError: the tokenizer has no chat template, or prompt and answer do not fit into the model's context.
    """
    import torch
    from transformers import GenerationConfig

    inputs = _tokenise(tokenizer, prompts).to(model.device)
    length = inputs["input_ids"].shape[1]
    context = getattr(model.config, "max_position_embeddings", None)
    if context is not None and length + max_tokens > context:
        raise InputError(f"a prompt of {length} tokens and an answer of {max_tokens} exceed the context of {context}")
    # Everything that shapes the scores is set here; the generation config (penalties, suppressed tokens) is ignored.
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
    with torch.inference_mode(), _unsuggested(model):
        output = model.generate(**inputs, generation_config=config, logits_processor=[mask] if mask else [])
    return output[:, length:]


@contextmanager
def _unsuggested(model: Any) -> Iterator[None]:
    """The model without generation settings of its own, which transformers put wherever a call leaves one open."""
    from transformers import GenerationConfig

    suggested, model.generation_config = model.generation_config, GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = suggested


def _tokenise(tokenizer: Any, prompts: Sequence[Chat]) -> Any:
    if not tokenizer.chat_template:
        raise InputError("the model's tokenizer has no chat template: use an instruction-tuned base model")
    chats = [
        tokenizer.apply_chat_template(list(prompt), tokenize=False, add_generation_prompt=True, **TEMPLATE_SETTINGS)
        for prompt in prompts
    ]
    # The template has written the special tokens; left padding, so that all answers begin at the same place.
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    options = {"return_tensors": "pt", "padding": True, "padding_side": "left", "add_special_tokens": False}
    return tokenizer(chats, **options)
