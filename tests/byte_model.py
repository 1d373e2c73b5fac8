"""A byte-level Llama model with a few thousand weights, which trains in milliseconds per step."""

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

CHAT_TEMPLATE = (
    "{% for message in messages %}<|start|>{{ message['role'] }}\n{{ message['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)


def byte_tokenizer(template=CHAT_TEMPLATE):
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: number for number, letter in enumerate(letters)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|start|>", "<|end|>"])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>")
    fast.chat_template = template
    return fast


def save_base(folder, template=CHAT_TEMPLATE, **sizes):
    torch.manual_seed(0)
    # A wide initializer range, because a small adapter can only amplify existing features.
    defaults = {
        "vocab_size": 258, "hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": 1024, "eos_token_id": 257, "bos_token_id": None,
    }  # fmt: skip
    config = LlamaConfig(initializer_range=0.2, **{**defaults, **sizes})
    LlamaForCausalLM(config).save_pretrained(folder)
    byte_tokenizer(template).save_pretrained(folder)
    return folder


def save_nan_base(folder):
    """A base model whose loss is NaN."""
    model = LlamaForCausalLM.from_pretrained(save_base(folder))
    model.lm_head.weight.data[5] = float("nan")
    model.save_pretrained(folder)
    return folder
