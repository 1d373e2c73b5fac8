"""The model that answers questions: base model, adapter and catalog trie."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from skutune.answer_format import AnswerText, parse
from skutune.decoding.answer_matcher import Allowed
from skutune.decoding.generate import ConstrainedDecoder, generate_tokens
from skutune.decoding.trie import TokenTrie, build_trie
from skutune.decoding.vocabulary import Vocabulary, load_vocabulary
from skutune.errors import InputError
from skutune.prompts.asking import question_messages
from skutune.training.adapters import check_base
from skutune.training.tokens import load_tokenizer

_log = logging.getLogger(__name__)

Dtype = Literal["auto", "bfloat16", "float16", "float32"]
MAX_TOKENS = 384


@dataclass(frozen=True, slots=True)
class GeneratedAnswer:
    """An answer as text and parsed."""

    text: str
    answer: AnswerText


class AnswerModel:
    """Answers shoppers' questions with references to catalog products."""

    def __init__(self, model: Any, tokenizer: Any, vocabulary: Vocabulary, trie: TokenTrie) -> None:
        """Raises InputError if the trie was built for another tokenizer."""
        self.model = model
        self.tokenizer = tokenizer
        self.vocabulary = vocabulary
        self.trie = trie
        self._decoder = ConstrainedDecoder(vocabulary, trie)

    @classmethod
    def load(
        cls,
        base: Path,
        adapter: Path | None,
        products: TokenTrie | Iterable[tuple[str, str]],
        dtype: Dtype = "auto",
        device: str | None = None,
        trie: TokenTrie | None = None,
    ) -> AnswerModel:
        """Load a base model, optionally with a PEFT adapter.

        Args:
            base: the folder of the base model.
            adapter: the folder of the adapter.
            products: a trie, or the (id, name) pairs to build one.
            dtype: the number format of the weights.
            device: default: the first GPU, or the CPU if there is none.
            trie: a stored trie to use instead of the pairs; ignored with a warning if it is of another tokenizer.

        Raises:
            InputError: a folder is missing or does not contain a model, the adapter belongs to another base model, or a
                product cannot be referenced in an answer.
        """
        model, tokenizer = _load_model(base, adapter, dtype, device)
        vocabulary = load_vocabulary(tokenizer, _end_tokens(model))
        if isinstance(products, TokenTrie):
            return cls(model, tokenizer, vocabulary, products)
        if trie is not None and trie.vocabulary_digest != vocabulary.digest:
            _log.warning("the stored catalog trie belongs to another tokenizer; rebuilding it")
            trie = None
        return cls(model, tokenizer, vocabulary, trie or build_trie(products, tokenizer, vocabulary))

    def ask(
        self,
        question: str,
        *,
        unavailable: Collection[str] = (),
        linked: Allowed | None = None,
        max_tokens: int = MAX_TOKENS,
        temperature: float = 0.0,
    ) -> GeneratedAnswer:
        """Answer one question; arguments and errors as in `ask_many`."""
        (answer,) = self.ask_many(
            [question], unavailable=unavailable, linked=linked, max_tokens=max_tokens, temperature=temperature
        )
        return answer

    def ask_many(
        self,
        questions: Sequence[str],
        *,
        unavailable: Collection[str] = (),
        linked: Allowed | None = None,
        max_tokens: int = MAX_TOKENS,
        temperature: float = 0.0,
        batch_size: int = 16,
    ) -> list[GeneratedAnswer]:
        """Answer many questions, in order; the answers reference only available products of the catalog.

        Without `linked`, the model chooses among all products. With `linked` (a `NameResolver`), each reference is a
        candidate for the recommendation's name, or `(no close product)` if the name has none.

        Raises:
            InputError: an answer does not fit into `max_tokens`, or prompt and answer exceed the model's context.
        """
        texts = self._decoder.generate(
            self.model,
            self.tokenizer,
            [question_messages(question) for question in questions],
            max_tokens=max_tokens,
            temperature=temperature,
            unavailable=unavailable,
            allowed=linked,
            batch_size=batch_size,
        )
        return [GeneratedAnswer(text, parse(text)) for text in texts]

    def unconstrained(
        self, questions: Sequence[str], *, max_tokens: int = MAX_TOKENS, temperature: float = 0.0, batch_size: int = 16
    ) -> list[str]:
        """Generate without constraints: texts may not parse, may be truncated, and may contain invented ids."""
        texts: list[str] = []
        for start in range(0, len(questions), batch_size):
            prompts = [question_messages(question) for question in questions[start : start + batch_size]]
            tokens = generate_tokens(
                self.model,
                self.tokenizer,
                prompts,
                max_tokens=max_tokens,
                temperature=temperature,
                ends=self.vocabulary.ends,
            )
            decoded = self.tokenizer.batch_decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
            texts += [text.strip() for text in decoded]
        return texts


def _load_model(base: Path, adapter: Path | None, dtype: Dtype, device: str | None) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModelForCausalLM

    from skutune.process.number_format import number_format

    _check_folder(base, "config.json", "the base model")
    # The adapter's folder has the tokenizer of the training, including the chat template that its base may lack.
    tokenizer = load_tokenizer(adapter or base)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=number_format(dtype, device))
    if adapter is not None:
        from peft import PeftModel

        _check_folder(adapter, "adapter_config.json", "the adapter")
        check_base(adapter, base)
        try:
            model = PeftModel.from_pretrained(model, adapter).merge_and_unload()
        except (OSError, ValueError, KeyError, RuntimeError) as error:  # torch raises RuntimeError for other shapes
            raise InputError(f"adapter {adapter}: does not fit base model {base}: {error}") from error
    return model.to(device or ("cuda" if torch.cuda.is_available() else "cpu")).eval(), tokenizer


def _check_folder(folder: Path, file: str, what: str) -> None:
    if not (folder / file).is_file():
        raise InputError(f"{folder} is not {what}: it has no {file}")


def _end_tokens(model: Any) -> tuple[int, ...]:
    """The end-of-sequence tokens of the generation config; some chat models have several."""
    ends = model.generation_config.eos_token_id
    return () if ends is None else tuple(ends) if isinstance(ends, list) else (ends,)
