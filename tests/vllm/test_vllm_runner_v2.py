"""The processor for Model Runner V2, which needs a GPU: here it is called as by the runner, with tensors on the CPU."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("vllm", reason="vLLM needs its own environment; run `make test-vllm`")

import numpy as np
import torch
from hostile_names import HOSTILE
from transformers import AutoTokenizer
from vllm import SamplingParams
from vllm.v1.worker.gpu.sample.logits_processor import LogitsContext, LogitsProcRequestState

from skutune import answer_format
from skutune.decoding.trie import build_trie
from skutune.decoding.vllm_v2 import AnswerProcessor
from skutune.decoding.vocabulary import Vocabulary, load_vocabulary
from skutune.errors import InputError

FOLDER = Path.home() / ".cache" / "skutune" / "models" / "smollm2-135m-instruct"
SLOTS, CONTEXT, PROMPT = 6, 512, [1, 2, 3, 4, 5]
FAVOURED = ["\n", "(", "clos", "est", " product", ":", " *", ")", "\n\n\n", "."]


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return load_vocabulary(AutoTokenizer.from_pretrained(FOLDER))


@pytest.fixture(scope="module")
def trie(tmp_path_factory: pytest.TempPathFactory, vocabulary: Vocabulary) -> Path:
    folder = tmp_path_factory.mktemp("trie")
    build_trie(HOSTILE, AutoTokenizer.from_pretrained(FOLDER), vocabulary).save(folder)
    return folder


def engine_config(trie: Path | None, speculative: Any = None) -> Any:
    model = SimpleNamespace(
        tokenizer=str(FOLDER), tokenizer_revision=None, max_model_len=CONTEXT, try_get_generation_config=dict
    )
    additional = {} if trie is None else {"skutune_trie": str(trie)}
    return SimpleNamespace(model_config=model, additional_config=additional, speculative_config=speculative)


class Runner:
    """The request states of the runner, by slot, and its decoding steps."""

    def __init__(self, trie: Path, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        width = len(vocabulary) + 64  # a model may have more logits than its tokenizer has tokens
        self.states = LogitsProcRequestState(
            device=torch.device("cpu"),
            max_num_reqs=SLOTS,
            vocab_size=width,
            all_token_ids=SimpleNamespace(gpu=torch.zeros((SLOTS, CONTEXT), dtype=torch.int32)),
            prompt_len=SimpleNamespace(np=np.zeros(SLOTS, np.int32)),
            prefill_len=SimpleNamespace(np=np.zeros(SLOTS, np.int32)),
            total_len=SimpleNamespace(gpu=torch.zeros(SLOTS, dtype=torch.int32)),
        )
        self.processor = AnswerProcessor(engine_config(trie), self.states)
        self.random = torch.Generator().manual_seed(0)
        self.bias = torch.zeros(width)
        self.bias[[vocabulary.by_bytes[text.encode()] for text in FAVOURED]] = 14

    def add(self, slot: int, sampling: SamplingParams, written: list[int]) -> bool:
        tokens = PROMPT + written
        self.states.all_token_ids.gpu[slot, : len(tokens)] = torch.tensor(tokens, dtype=torch.int32)
        self.states.prompt_len.np[slot] = len(PROMPT)
        self.states.total_len.gpu[slot] = len(tokens)
        return self.processor.add_request(slot, sampling)

    def step(self, slots: list[int]) -> list[int]:
        """Generate one token for each of these slots, in order."""
        rows = torch.tensor(slots, dtype=torch.int32)
        noise = torch.empty((len(slots), len(self.bias))).exponential_(generator=self.random)
        logits = self.processor.apply(self.bias - noise.log(), context(rows))
        chosen = logits.argmax(dim=1)
        for slot, token in zip(slots, chosen.tolist(), strict=True):
            self.states.all_token_ids.gpu[slot, self.states.total_len.gpu[slot]] = token
            self.states.total_len.gpu[slot] += 1
        return chosen.tolist()


def context(rows: torch.Tensor) -> LogitsContext:
    unused = torch.zeros(0)
    return LogitsContext(rows, rows, rows.numpy(), unused, unused, unused, np.zeros(0))


def constrained(**options: Any) -> SamplingParams:
    arguments = {f"skutune_{key}": value for key, value in options.items()}
    return SamplingParams(max_tokens=160, extra_args={"skutune": 1, **arguments})


@pytest.mark.vllm
def test_reordered_preempted_and_reused_slots_yield_complete_answers(trie: Path, vocabulary: Vocabulary) -> None:
    runner, order = Runner(trie, vocabulary), np.random.default_rng(0)
    free = 0
    assert not runner.add(free, SamplingParams(max_tokens=400), [])
    waiting = [["12", "9", "p1"] if number % 2 else [] for number in range(48)]
    running: dict[int, tuple[list[str], list[int]]] = {}
    referenced, preempted = [], 0
    while waiting or running:
        for slot in set(range(1, SLOTS)) - running.keys():
            if waiting:
                unavailable = waiting.pop()
                running[slot] = unavailable, []
                assert runner.add(slot, constrained(unavailable=unavailable), [])
        if running and order.random() < 0.05:
            slot = min(running)
            unavailable, written = running[slot]
            runner.add(slot, constrained(unavailable=unavailable), written)
            preempted += 1
        slots = [int(slot) for slot in order.permutation([*running, free])]
        for slot, token in zip(slots, runner.step(slots), strict=True):
            if slot == free:
                runner.states.total_len.gpu[free] = len(PROMPT) + 1
            elif token not in vocabulary.ends and len(running[slot][1]) < 159:
                running[slot][1].append(token)
            else:
                unavailable, written = running.pop(slot)
                text = (
                    vocabulary.text_bytes(written if token in vocabulary.ends else [*written, token]).decode().strip()
                )
                references = [item.product for item in answer_format.parse(text).items if item.product is not None]
                referenced += [(product.id, product.name) for product in references]
                assert not {product.id for product in references} & set(unavailable)
    assert set(referenced) <= set(HOSTILE)
    assert len(referenced) >= 36
    assert preempted >= 5


@pytest.mark.vllm
def test_an_invalid_configuration_raises_when_the_engine_starts(trie: Path, vocabulary: Vocabulary) -> None:
    states = Runner(trie, vocabulary).states
    with pytest.raises(InputError, match="no catalog trie is configured"):
        AnswerProcessor(engine_config(None), states)
    with pytest.raises(InputError, match="speculative decoding"):
        AnswerProcessor(engine_config(trie, speculative=object()), states)
    with pytest.raises(InputError, match="has no catalog trie"):
        AnswerProcessor(engine_config(trie / "elsewhere"), states)
