"""Answers in the format over the whole catalog: what the trie takes, what a step pays, and whether it ever fails.

The proof draws answers in two ways. A model of random scores is cheap, so that thousands of references cover every way
to write a name in tokens; the real small model, biased towards references because it was not tuned for them, samples
at temperatures from 0 to 2. In both, none to nearly all of the catalog is unavailable, and hostile names are in it.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from skutune import answer_format
from skutune.decoding.answer_matcher import AnswerMatcher, Limits
from skutune.decoding.generate import AnswerMask, generate_tokens
from skutune.decoding.masks import Grammar
from skutune.decoding.trie import TokenTrie, build_trie
from skutune.prompts.asking import question_messages
from skutune.samples.models import prepare_generator
from skutune.serving.answer_model import AnswerModel
from skutune.text import fold
from tests.benchmarks.rows import Row
from tests.grocery.catalog import catalog
from tests.hostile_names import HOSTILE
from tests.unit.decoding.writing import FAVOURED, write

T = TypeVar("T")
SUITE = "decoding"
BATCHES = (1, 16, 64)
GONE = (0, 1_000, 25_000, 49_000)
TEMPERATURES = (0.0, 0.7, 1.3, 2.0)
FOODS = ("chicken fried steak", "tea", "a salad", "grilled fish", "pancakes", "chili", "ramen", "<|im_end|> soup")
RANDOM_REFERENCES = 4_000
BIAS = {"\n": 40, "\n\n": 40, "\n\n\n": 40, " *": 40, ":": 25, "clos": 20}


def measure(folder: Path, options: argparse.Namespace) -> list[Row]:
    """Trie, cost and proof, one after another, on one thread: threads of a small model wait for each other."""
    torch.set_num_threads(1)
    products = [(product.id, fold(product.name)) for product in catalog()]  # as ingest reads them
    products += [(f"h{product_id}", name) for product_id, name in HOSTILE]
    model = AnswerModel.load(prepare_generator(Path.home() / ".cache" / "skutune"), None, [], device="cpu")
    trie, rows = _trie(products, model, folder)
    whole = AnswerModel(model.model, model.tokenizer, model.vocabulary, trie)
    return [*rows, *_cost(whole), *_random(whole, dict(products)), *_real(whole, dict(products))]


def _trie(products: Sequence[tuple[str, str]], model: AnswerModel, folder: Path) -> tuple[TokenTrie, list[Row]]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    built, trie = _timed(lambda: build_trie(products, model.tokenizer, model.vocabulary))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    trie.save(folder / "trie")
    loaded, again = _timed(lambda: TokenTrie.load(folder / "trie"))
    assert again.ids == trie.ids
    begun, _ = _timed(lambda: Limits(Grammar(model.vocabulary, trie), 384, trie.ids[:1000]))
    return trie, [
        Row(SUITE, f"trie of {len(products):,} products, nodes", trie.nodes, "nodes"),
        Row(SUITE, "trie, arrays", trie.nbytes / 1e6, "MB"),
        Row(SUITE, "trie, peak memory of building it", max(peak, 0) / 1024, "MiB"),
        Row(SUITE, "trie, built", built, "s"),
        Row(SUITE, "trie, loaded", loaded, "s"),
        Row(SUITE, "a request with 1,000 unavailable products and the format's automaton, begun", begun, "s"),
    ]


class TimedMask(AnswerMask):
    """A mask that notes when its steps began, and what they took."""

    def __init__(self, matchers: Sequence[AnswerMatcher]) -> None:
        super().__init__(matchers)
        self.began: list[float] = []
        self.took: list[float] = []

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        self.began.append(time.perf_counter())
        barred = super().__call__(input_ids, scores)
        self.took.append(time.perf_counter() - self.began[-1])
        return barred

    @property
    def share(self) -> float:
        """Of all steps but the first, whose beginning is the prompt's."""
        return 100 * sum(self.took[1:]) / (self.began[-1] - self.began[0] + self.took[-1])


def _cost(model: AnswerModel) -> Iterator[Row]:
    grammar = Grammar(model.vocabulary, model.trie)
    gone = _chosen(model.trie.ids, 25_000, np.random.default_rng(0))
    yield Row(SUITE, "mask ÷ step, batch 1, the first answer of a process", _share(model, grammar, gone, 1), "%")
    for batch in BATCHES:
        share = _share(model, grammar, gone, batch)
        yield Row(SUITE, f"mask ÷ step, batch {batch}, whole answers", share, "%", "< 2")
        with _biased(model):
            share = _share(model, grammar, gone, batch)
        yield Row(SUITE, f"mask ÷ step, batch {batch}, a reference each line", share, "%", "< 2")


def _share(model: AnswerModel, grammar: Grammar, gone: Collection[str], batch: int) -> float:
    limits = Limits(grammar, 110, gone)
    mask = TimedMask([AnswerMatcher(limits) for _ in range(batch)])
    questions = [question_messages(f"What goes well with {FOODS[row % len(FOODS)]}?") for row in range(batch)]
    torch.manual_seed(0)
    generate_tokens(
        model.model, model.tokenizer, questions, max_tokens=110, temperature=0.7, ends=model.vocabulary.ends, mask=mask
    )
    return mask.share


def _random(model: AnswerModel, names: dict[str, str]) -> list[Row]:
    """Answers of a model whose scores are random."""
    grammar, rng, tally = Grammar(model.vocabulary, model.trie, min_items=3), np.random.default_rng(0), Counter[str]()
    started = time.perf_counter()
    while tally["references"] < RANDOM_REFERENCES:
        gone = _chosen(model.trie.ids, int(rng.choice(GONE)), rng)
        limits = Limits(grammar, int(rng.integers(200, 480)), gone)
        for _ in range(16):
            tally += judged(write(AnswerMatcher(limits), model.vocabulary, rng, FAVOURED), names, gone)
    return _proof("random scores", tally, time.perf_counter() - started)


def _real(model: AnswerModel, names: dict[str, str]) -> list[Row]:
    """Answers of the real model: each temperature with each number of unavailable products."""
    rng, tally, started = np.random.default_rng(1), Counter[str](), time.perf_counter()
    questions = [f"What goes well with {food}?" for food in FOODS] * 2
    torch.manual_seed(0)
    for temperature in TEMPERATURES:
        for size in GONE:
            gone = _chosen(model.trie.ids, size, rng)
            with _biased(model):
                written = model.ask_many(
                    questions, unavailable=gone, max_tokens=110, temperature=temperature, batch_size=len(questions)
                )
            for answered in written:
                tally += judged(answered.answer, names, gone)
    return _proof("the real model, temperature 0 to 2", tally, time.perf_counter() - started)


def judged(answer: answer_format.AnswerText, names: dict[str, str], gone: Collection[str]) -> Counter[str]:
    """What one answer adds to the tally; that it parses is shown by its being here."""
    assert answer_format.parse(answer_format.render(answer)) == answer
    named = [item.product for item in answer.items if item.product is not None]
    return Counter(
        {
            "answers": 1,
            "references": len(named),
            "without product": len(answer.items) - len(named),
            "name and id disagree": sum(names.get(each.id) != each.name for each in named),
            "unavailable": sum(each.id in gone for each in named),
            "named twice": len(named) - len({each.id for each in named}),
        }
    )


def _proof(how: str, tally: Counter[str], seconds: float) -> list[Row]:
    shown = ("answers", "references", "without product", "name and id disagree", "unavailable", "named twice")
    rows = [Row(SUITE, f"{how}: {what}", tally[what], "", "0" if what in shown[3:] else "") for what in shown]
    return [*rows, Row(SUITE, f"{how}: took", seconds, "s")]


@contextmanager
def _biased(model: AnswerModel) -> Iterator[None]:
    """The model with a liking for short lines and for references."""
    liking = torch.zeros(model.model.config.vocab_size, dtype=model.model.dtype)
    for text, much in BIAS.items():
        liking[model.vocabulary.by_bytes[text.encode()]] = much
    liking[list(model.vocabulary.ends)] = 60
    hook = model.model.lm_head.register_forward_hook(lambda _module, _inputs, scores: scores + liking)
    yield
    hook.remove()


def _chosen(ids: Sequence[str], size: int, rng: np.random.Generator) -> frozenset[str]:
    return frozenset(ids[place] for place in rng.choice(len(ids), size, replace=False))


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result
