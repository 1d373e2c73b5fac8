"""Answers are greedy, stop at the chat's end, and the base model answers as if there were no adapter."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from skutune.evaluation.generation import Answerer, answers_for
from skutune.training.tokens import load_tokenizer, prompt_tokens

QUESTIONS = [
    ({"role": "user", "content": text},) for text in ("Beans?", "What goes with a chicken fried steak?", "Tea")
]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: number for number, letter in enumerate(letters)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|end|>"])
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>").save_pretrained(folder)
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=257, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, initializer_range=0.3, eos_token_id=256, bos_token_id=None,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def adapter(base, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "adapter"
    torch.manual_seed(2)
    lora = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
    get_peft_model(AutoModelForCausalLM.from_pretrained(base), lora).save_pretrained(folder)
    load_tokenizer(base).save_pretrained(folder)
    return folder


def texts(answers):
    return [answer.text for answer in answers]


def test_base_answers_through_the_adapter_model_are_those_of_the_base_alone(base, adapter):
    alone = texts(answers_for(base, None, QUESTIONS, max_tokens=12, batch_size=3, dtype="float32"))
    answerer = Answerer(base, adapter, dtype="float32")
    tuned = texts(answerer.answers(QUESTIONS, tuned=True, max_tokens=12, batch_size=3))
    assert texts(answerer.answers(QUESTIONS, tuned=False, max_tokens=12, batch_size=3)) == alone
    assert tuned != alone
    assert texts(answerer.answers(QUESTIONS, tuned=True, max_tokens=12, batch_size=3)) == tuned


def test_a_batch_gives_the_answers_of_single_questions(base):
    single = texts(answers_for(base, None, QUESTIONS, max_tokens=8, batch_size=1, dtype="float32"))
    assert texts(answers_for(base, None, QUESTIONS, max_tokens=8, batch_size=3, dtype="float32")) == single


def test_tokens_are_counted_and_a_cut_is_told(base):
    first = next(answers_for(base, None, QUESTIONS[:1], max_tokens=4, batch_size=1, dtype="float32"))
    assert first.prompt_tokens == len(prompt_tokens(load_tokenizer(base), QUESTIONS[0]))
    assert (first.finish_reason, first.completion_tokens) == ("length", 4)


def test_an_answer_ends_at_the_end_token(base, tmp_path):
    model = AutoModelForCausalLM.from_pretrained(base)
    with torch.no_grad():
        model.lm_head.weight.zero_()  # every token is as likely as any other, and the first of them wins
    model.generation_config.eos_token_id = [0]
    model.save_pretrained(tmp_path)
    load_tokenizer(base).save_pretrained(tmp_path)
    first = next(answers_for(tmp_path, None, QUESTIONS[:1], max_tokens=4, batch_size=1, dtype="float32"))
    assert (first.finish_reason, first.completion_tokens, first.text) == ("stop", 1, "")
