"""Continuous batching with shared prefixes generates the same texts as transformers for each request alone."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from skutune.config.schema import GeneratorConfig
from skutune.engines.base import Request, Sampling
from skutune.engines.transformers.batch import RunningSequence
from skutune.engines.transformers.engine import TransformersEngine, _finish_reason
from skutune.engines.transformers.json_grammar import allows, apply_mask
from skutune.errors import InputError
from skutune.process.progress import listening_to_tokens

TEMPLATE = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}<assistant>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama of two layers and 1 MB with a byte-level tokenizer, whose greedy texts are all different."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("model")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({"<end>": 0, **{sign: i for i, sign in enumerate(alphabet, 1)}}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<end>", pad_token="<end>", chat_template=TEMPLATE
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=257, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=1024, bos_token_id=None, eos_token_id=0, initializer_range=0.2,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def engine(folder: Path, **settings: Any) -> TransformersEngine:
    return TransformersEngine(folder, GeneratorConfig(name="x", dtype="float32", **settings))


def greedy(number: int, prompt: str, max_tokens: int) -> Request:
    return Request(str(number), ({"role": "user", "content": prompt},), Sampling(max_tokens, temperature=0))


def reference(folder: Path, requests: list[Request]) -> dict[str, tuple[int, str]]:
    """The number of tokens and the text that transformers generates for each request alone."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    generated = {}
    for request in requests:
        prompt = tokenizer.apply_chat_template(
            list(request.messages), add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        output = model.generate(**prompt, max_new_tokens=request.sampling.max_tokens, do_sample=False)
        tokens = output[0, prompt["input_ids"].shape[1] :].tolist()
        text_tokens = [token for token in tokens if token != 0]
        generated[request.id] = (len(text_tokens), tokenizer.decode(text_tokens).rstrip("\ufffd").strip())
    return generated


def test_texts_equal_those_of_each_request_alone(folder: Path) -> None:
    prompts = [
        "Describe beans."
        if number % 5 == 0
        else f"A longer beginning that many share. Product: {number * 7919}{'!' * (number % 7)}"
        for number in range(40)
    ]
    requests = [greedy(number, prompt, 3 + number % 17) for number, prompt in enumerate(prompts)]
    results = engine(folder, batch_size=8).generate(requests)
    assert {result.id: (result.completion_tokens, result.text) for result in results} == reference(folder, requests)


def test_a_growing_cache_keeps_its_contents(folder: Path) -> None:
    requests = [greedy(number, "x" * length, 30) for number, length in enumerate((10, 200, 240, 600, 12))]
    results = engine(folder, batch_size=3).generate(requests)
    assert {result.id: (result.completion_tokens, result.text) for result in results} == reference(folder, requests)


def test_generation_stops_where_the_context_ends(folder: Path) -> None:
    (result,) = engine(folder, context=256).generate([greedy(0, "x" * 200, 500)])
    assert result.finish_reason == "context"
    assert result.prompt_tokens + result.completion_tokens == 256


def test_another_seed_gives_another_sample(folder: Path) -> None:
    request = Request("r", ({"role": "user", "content": "Tea"},), Sampling(20, temperature=1.0))
    texts = set()
    for seed in (0, 0, 1):
        (result,) = TransformersEngine(folder, GeneratorConfig(name="x"), seed=seed).generate([request])
        texts.add(result.text)
    assert len(texts) == 2


CHOICE = {
    "type": "object",
    "properties": {"choice": {"enum": ["apples", "pears"]}},
    "required": ["choice"],
    "additionalProperties": False,
}


def test_a_model_that_does_not_know_json_follows_the_schema(folder: Path) -> None:
    requests = [
        Request(str(n), ({"role": "user", "content": f"Tea {n}"},), Sampling(60, temperature=1.0), CHOICE)
        for n in range(24)
    ]
    results = list(engine(folder, batch_size=8).generate(requests))
    assert {json.loads(result.text)["choice"] for result in results} == {"apples", "pears"}
    assert {result.finish_reason for result in results} == {"stop"}


def test_greedy_json_takes_the_most_likely_allowed_token_at_each_step(folder: Path) -> None:
    """Including forced tokens, which are part of the prefill."""
    request = Request("r", ({"role": "user", "content": "Tea"},), Sampling(60, temperature=0), CHOICE)
    text_engine = engine(folder)
    (result,) = text_engine.generate([request])
    tokens, matcher = text_engine.chat.encode(request.messages), text_engine.grammars.matcher(CHOICE)
    model, prompt_length = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), len(tokens)
    while not matcher.is_stopped():
        logits = model(torch.tensor([tokens])).logits[:, -1].detach()
        apply_mask(logits, [matcher])
        tokens.append(int(logits.argmax()))
        matcher.consume_token(tokens[-1])
    assert result.text == text_engine.chat.decode(tokens[prompt_length:])


def test_a_fully_forced_text_needs_no_forward_pass(folder: Path) -> None:
    request = Request("r", ({"role": "user", "content": "Tea"},), Sampling(20), {"const": "pears"})
    truncated = Request("truncated", request.messages, Sampling(4), {"const": "pears"})
    text_engine = engine(folder)
    text_engine.model.forward = None  # calling it would raise
    results = {result.id: result for result in text_engine.generate([request, truncated])}
    assert (results["r"].text, results["r"].finish_reason) == ('"pears"', "stop")
    assert (results["truncated"].text, results["truncated"].finish_reason) == ('"pea', "length")


@pytest.mark.parametrize(
    ("generated", "token", "expected"), [("", '"', True), ("", "x", False), ('"pears"', None, True)]
)
def test_a_token_is_checked_without_a_mask(folder: Path, generated: str, token: str | None, expected: bool) -> None:
    text_engine = engine(folder)
    matcher = text_engine.grammars.matcher({"const": "pears"})
    encode = text_engine.chat.tokenizer.encode
    if generated:
        assert matcher.consume_tokens(encode(generated))
    assert allows(matcher, 0 if token is None else encode(token)[0], text_engine.stops) is expected


def test_an_unsupported_schema_raises(folder: Path) -> None:
    request = Request("r", ({"role": "user", "content": "Tea"},), Sampling(20), {"type": "no such type"})
    with pytest.raises(InputError, match="no such type"):
        list(engine(folder).generate([request]))


def test_a_model_without_a_chat_template_raises(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        if file.name != "chat_template.jinja":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(InputError, match="chat template"):
        engine(tmp_path)


def test_unsupported_attention_raises(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "config.json").write_text('{"model_type": "gemma2", "attn_logit_softcapping": 50.0}')
    with pytest.raises(InputError, match="needs vLLM"):
        engine(tmp_path)


def test_unreadable_weights_are_an_input_error(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(InputError, match="cannot be loaded"):
        engine(tmp_path)


def test_tokens_are_reported_as_they_are_generated(folder: Path) -> None:
    reports: list[int] = []
    requests = [greedy(number, "tea", 20) for number in range(3)]
    with listening_to_tokens(reports.append):
        results = list(engine(folder).generate(requests))
    assert reports[0] == 0, "the prompts are read"
    assert sum(reports) == sum(result.completion_tokens for result in results)
    assert max(reports) <= len(requests)


class RejectingMatcher:
    def consume_token(self, token: int) -> bool:
        return False

    def is_stopped(self) -> bool:
        return False


def test_a_text_whose_token_the_grammar_rejects_is_not_ended_by_the_context() -> None:
    request = greedy(0, "tea", 500)
    sequence = RunningSequence(request, [1], 10, random.Random(0), RejectingMatcher())
    sequence.append(5, frozenset())
    assert _finish_reason(sequence) == "length"
