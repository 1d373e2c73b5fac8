"""A fine-tuned adapter generates the same text in vLLM, offline and over HTTP, as in transformers with PEFT."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("vllm", reason="vLLM needs its own environment; run `make test-vllm`")

import torch
from servers import non_ephemeral_port
from vllm import LLM, SamplingParams
from vllm.lora.request import LoRARequest

from skutune.config.schema import FinetuneConfig
from skutune.engines.chat import stop_tokens
from skutune.prompts.asking import question_messages
from skutune.training.models import load_tuned
from skutune.training.sft import finetune
from skutune.training.tokens import load_tokenizer, prompt_tokens

pytestmark = pytest.mark.vllm

FOLDER = Path.home() / ".cache" / "skutune" / "models" / "smollm2-135m-instruct"
QUESTION = "What goes well with a chicken fried steak?"
ANSWER = "A side dish.\n\n * Beans: They are hearty.\n(closest product: Baked Beans: id 32717)\n\n\nEnjoy."
TOKENS = 40
RANK = 8
# In float32, where both engines agree on the most likely token.
ENGINE = {"dtype": "float32", "max_model_len": 256, "enforce_eager": True, "enable_lora": True, "max_lora_rank": RANK}

os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tuned")
    messages = [*question_messages(QUESTION), {"role": "assistant", "content": ANSWER}]
    (folder / "train.jsonl").write_text((json.dumps({"messages": messages}) + "\n") * 4, encoding="utf-8")
    settings = FinetuneConfig(
        epochs=6, learning_rate=2e-3, batch_size=4, micro_batch_size=4, max_length=128, lora_rank=RANK
    )
    finetune(
        FOLDER, folder / "train.jsonl", None, settings, folder,
        base_name="HuggingFaceTB/SmolLM2-135M-Instruct", dtype="float32", resume=None, on_step=lambda point: None,
    )  # fmt: skip
    return folder / "adapter"


@pytest.fixture(scope="module")
def expected(adapter: Path) -> str:
    """The text that transformers with PEFT generates."""
    tokenizer, model = load_tokenizer(adapter), load_tuned(FOLDER, adapter, torch.float32).eval()
    prompt = torch.tensor([prompt_tokens(tokenizer, question_messages(QUESTION))])
    stops = sorted(stop_tokens(tokenizer, model.generation_config))
    with torch.inference_mode():
        output = model.generate(
            prompt, max_new_tokens=TOKENS, do_sample=False, eos_token_id=stops, pad_token_id=tokenizer.pad_token_id
        )
    text: str = tokenizer.decode(output[0, prompt.shape[1] :], skip_special_tokens=True)
    assert text.startswith("A side dish.\n\n * Beans:")  # the adapter has learned the format
    return text


def test_vllm_generates_the_same_text_offline(adapter: Path, expected: str) -> None:
    prompt = {"prompt_token_ids": prompt_tokens(load_tokenizer(adapter), question_messages(QUESTION))}
    sampling = SamplingParams(temperature=0, max_tokens=TOKENS)
    engine = LLM(model=str(FOLDER), **ENGINE)
    tuned = engine.generate([prompt], sampling, lora_request=LoRARequest("catalog", 1, str(adapter)), use_tqdm=False)
    base = engine.generate([prompt], sampling, use_tqdm=False)
    engine.llm_engine.engine_core.shutdown()
    assert tuned[0].outputs[0].text == expected
    assert base[0].outputs[0].text != expected


@pytest.fixture
def served(adapter: Path) -> Iterator[str]:
    """The address of a server started with the model card's command in the adapter's folder."""
    port = non_ephemeral_port()
    settings = [
        f"--{name.replace('_', '-')}" + ("" if value is True else f"={value}") for name, value in ENGINE.items()
    ]
    # The module behind `vllm serve`, which requires the metadata of a package with another name on CPUs.
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(FOLDER), *settings]
    command += ["--lora-modules", "catalog=.", "--tokenizer", ".", "--chat-template", "chat_template.jinja"]
    process = subprocess.Popen([*command, "--port", str(port)], cwd=adapter)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{address}/health", process)
        yield address
    finally:
        process.terminate()
        process.wait(60)


def test_the_server_of_the_model_card_generates_the_same_text(served: str, expected: str) -> None:
    body = {"model": "catalog", "messages": question_messages(QUESTION), "temperature": 0, "max_tokens": TOKENS}
    request = urllib.request.Request(
        f"{served}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=120) as response:
        answer = json.load(response)
    assert answer["choices"][0]["message"]["content"] == expected


def wait_for(address: str, process: subprocess.Popen[bytes], seconds: float = 300) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert process.poll() is None
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise AssertionError(f"{address} does not answer")
