"""An overfitted model ends its answers, whatever the end-of-turn token of its family."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import GenerationConfig, LlamaForCausalLM

from skutune.prompts.asking import question_messages
from skutune.serving.answer_model import AnswerModel
from skutune.training.encoding import Chat, ExampleEncoder
from skutune.training.models import save_model
from skutune.training.tokens import load_tokenizer
from tests.chat_families import FAMILIES

QUESTION = "What goes with rice?"
ANSWER = "Try this.\n\n * Baked Beans: Good.\n(closest product: Baked Beans: id 32717)\n\n\nEnjoy."


def overfit(base: Path, folder: Path) -> None:
    """Fine-tune all weights of the base on one answer, and save them as a training run does."""
    tokenizer = load_tokenizer(base)
    chat = Chat([*question_messages(QUESTION), {"role": "assistant", "content": ANSWER}])
    (example,) = ExampleEncoder(tokenizer, 512).encode([chat])
    assert example is not None
    assert tokenizer.eos_token_id in example.labels
    model = LlamaForCausalLM.from_pretrained(base)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    inputs, labels = torch.tensor([example.input_ids]), torch.tensor([example.labels])
    for _ in range(600):
        loss = model(input_ids=inputs, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss < 0.002:
            break
    save_model(model, tokenizer, folder, "tiny", torch.float32)


@pytest.mark.parametrize("name", ["Qwen 2.5 base", "Gemma", "Command-R", "GPT-2"])
def test_a_memorized_answer_ends_unconstrained_and_constrained(name: str, tmp_path: Path) -> None:
    family = FAMILIES[name]
    overfit(family.save(tmp_path / "base"), tmp_path / "tuned")
    model = AnswerModel.load(tmp_path / "tuned", None, [("32717", "Baked Beans"), ("43962", "Coleslaw")], "float32")
    assert model.unconstrained([QUESTION], max_tokens=300) == [ANSWER]
    assert model.ask(QUESTION, max_tokens=300).text == ANSWER
    stops = GenerationConfig.from_pretrained(tmp_path / "tuned").eos_token_id
    turn_end = model.tokenizer.convert_tokens_to_ids(family.turn_end)
    assert turn_end in (stops if isinstance(stops, list) else [stops])
