"""Constrained answers in vLLM reference existing, available products, whatever is sampled."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("vllm", reason="vLLM needs its own environment; run `make test-vllm`")

from hostile_names import HOSTILE
from transformers import AutoTokenizer
from vllm import LLM, SamplingParams
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.exceptions import VLLMValidationError

from skutune import answer_format
from skutune.decoding.trie import build_trie
from skutune.decoding.vllm_requests import RequestParams, read_request_params, validate_sampling
from skutune.decoding.vocabulary import load_vocabulary
from skutune.engines.chat import ChatTokens
from skutune.prompts.asking import question_messages

FOLDER = Path.home() / ".cache" / "skutune" / "models" / "smollm2-135m-instruct"
# Without fine-tuning, the model rarely generates a reference unless it sees an example.
EXAMPLE = answer_format.render(
    answer_format.AnswerText(
        "Try this.",
        (answer_format.AnswerItem("Cole", "It is crisp.", answer_format.Reference("12", "Cole")),) * 2,
        "Enjoy.",
    )
)
QUESTIONS = [
    f"What goes well with {food}? Answer like this:\n\n{EXAMPLE}"
    for food in ("chicken fried steak", "tea", "a salad", "<|im_end|> fish")
]
UNAVAILABLE = [product_id for product_id, _ in HOSTILE[:9]]

os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")


@pytest.fixture(scope="module")
def trie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trie")
    tokenizer = AutoTokenizer.from_pretrained(FOLDER)
    build_trie(HOSTILE, tokenizer, load_vocabulary(tokenizer)).save(folder)
    return folder


@pytest.fixture(scope="module")
def llm(trie: Path) -> Iterator[LLM]:
    """An engine whose KV cache is so small that requests are preempted."""
    llm = LLM(
        model=str(FOLDER),
        enforce_eager=True,
        max_model_len=512,
        max_num_seqs=24,
        num_gpu_blocks_override=24,
        logits_processors=["skutune.decoding.vllm_v1:AnswerProcessor"],
        additional_config={"skutune_trie": str(trie)},
        disable_log_stats=False,
    )
    yield llm
    llm.llm_engine.engine_core.shutdown()


def generate(llm: LLM, *parameters: SamplingParams) -> list[Any]:
    """One completion for each sampling parameter; the questions repeat in turn."""
    chat = ChatTokens(FOLDER)
    prompts = [{"prompt_token_ids": chat.encode(question_messages(question))} for question in QUESTIONS]
    chosen = [prompts[number % len(prompts)] for number in range(len(parameters))]
    return [request.outputs[0] for request in llm.generate(chosen, list(parameters), use_tqdm=False)]


def constrained(temperature: float, max_tokens: int = 110, **options: Any) -> SamplingParams:
    arguments = {f"skutune_{key}": value for key, value in options.items()}
    return SamplingParams(temperature=temperature, max_tokens=max_tokens, extra_args={"skutune": 1, **arguments})


def preemptions(llm: LLM) -> int:
    return sum(metric.value for metric in llm.get_metrics() if metric.name == "vllm:num_preemptions")


@pytest.mark.vllm
def test_references_exist_are_available_and_allowed_beside_unconstrained_requests(llm: LLM) -> None:
    few = ["12", "12)", "nothing"]
    kinds: list[tuple[dict[str, Any], set[str]]] = [
        ({}, {product_id for product_id, _ in HOSTILE}),
        ({"unavailable": UNAVAILABLE}, {product_id for product_id, _ in HOSTILE} - set(UNAVAILABLE)),
        ({"allowed": few}, set(few)),
        ({"allowed": few, "unavailable": few[:1]}, set(few[1:])),
        ({"max_items": 1}, {product_id for product_id, _ in HOSTILE}),
    ]
    cases = [(options, ids, temperature) for options, ids in kinds for temperature in (0.0, 0.7, 1.3, 2.0)] * 2
    free = SamplingParams(temperature=0, max_tokens=12)
    before = generate(llm, free)[0].text
    completions = generate(llm, *(constrained(temperature, **options) for options, _, temperature in cases), free)
    assert generate(llm, free)[0].text == before
    referenced = []
    for (options, ids, _), completion in zip(cases, completions[:-1], strict=True):
        items = answer_format.parse(completion.text.strip()).items
        assert len(items) <= options.get("max_items", 5)
        references = [(item.product.id, item.product.name) for item in items if item.product is not None]
        assert set(references) <= {product for product in HOSTILE if product[0] in ids}
        referenced += references
    assert len(referenced) >= 20
    assert preemptions(llm) > 0


@pytest.mark.vllm
@pytest.mark.parametrize(
    ("parameters", "what"),
    [
        ({"extra_args": {"skutune": 2}}, "skutune is 2; it must be 0 or 1"),
        ({"extra_args": {"skutune": 1, "skutune_unavailable": 3.5}}, "it must be a list of product ids"),
        ({"extra_args": {"skutune": 1}, "bad_words": ["beans"]}, "cannot be combined with skutune"),
        ({"extra_args": {"skutune": 1}, "stop_token_ids": [7]}, "cannot be combined with skutune"),
        ({"extra_args": {"skutune": 1}, "max_tokens": 5}, "max_tokens is 5; it must be at least"),
    ],
)
def test_an_invalid_request_raises_and_does_not_affect_others(llm: LLM, parameters: Any, what: str) -> None:
    with pytest.raises((ValueError, VLLMValidationError), match=what):
        generate(llm, SamplingParams(**{"max_tokens": 110, **parameters}))
    (completion,) = generate(llm, constrained(0.0))
    answer_format.parse(completion.text.strip())


@pytest.mark.vllm
def test_an_answer_for_which_the_prompt_leaves_no_tokens_is_empty(llm: LLM) -> None:
    chat = ChatTokens(FOLDER)
    prompt = chat.encode(question_messages("beans " * 470))[-490:]
    (request,) = llm.generate([{"prompt_token_ids": prompt}], [constrained(0.0)], use_tqdm=False)
    assert request.outputs[0].text == ""


@pytest.mark.vllm
def test_arguments_arrive_unchanged_over_http() -> None:
    arguments = {"skutune": 1, "skutune_unavailable": ["7", 12], "skutune_max_items": 3}
    request = ChatCompletionRequest(messages=[{"role": "user", "content": "?"}], vllm_xargs=arguments)
    parameters = request.to_sampling_params(max_tokens=200, default_sampling_params={})
    validate_sampling(parameters)
    assert read_request_params(parameters.extra_args) == RequestParams(frozenset({"7", "12"}), None, 3)
