"""Tokenizers with the chat conventions of model families: special tokens, templates and what ends a turn."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast


@dataclass(frozen=True)
class Family:
    """`eos` ends a text, `turn_end` an assistant's turn; `stops` are those of the model's generation config."""

    specials: tuple[str, ...]
    eos: str
    turn_end: str
    template: str | dict[str, str] | None
    bos: str | None = None
    pad: str | None = None
    stops: tuple[str, ...] = field(default=())

    def tokenizer(self) -> Any:
        """A byte-level tokenizer with these conventions."""
        letters = sorted(pre_tokenizers.ByteLevel.alphabet())
        tokenizer = Tokenizer(models.BPE(vocab={letter: number for number, letter in enumerate(letters)}, merges=[]))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        tokenizer.add_special_tokens(list(self.specials))
        fast = PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, eos_token=self.eos, bos_token=self.bos, pad_token=self.pad
        )
        fast.chat_template = self.template
        return fast

    def save(self, folder: Path, **sizes: int) -> Path:
        """A model of a few thousand weights with this tokenizer."""
        torch.manual_seed(0)
        tokenizer = self.tokenizer()
        config = LlamaConfig(
            **{
                "vocab_size": len(tokenizer), "hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2,
                "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 1024,
                "eos_token_id": tokenizer.eos_token_id, "bos_token_id": None, "initializer_range": 0.2, **sizes,
            }
        )  # fmt: skip
        model = LlamaForCausalLM(config)
        if self.stops:
            stops = tokenizer.convert_tokens_to_ids(list(self.stops))
            model.generation_config = GenerationConfig(eos_token_id=stops)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder


def _turns(start: str, middle: str, end: str, roles: str = "message.role", generation: str = "") -> str:
    """A template of one marked turn a message."""
    return (
        f"{{% for message in messages %}}{start}{{{{ {roles} }}}}{middle}{{{{ message.content }}}}{end}{{% endfor %}}"
        f"{{% if add_generation_prompt %}}{generation}{{% endif %}}"
    )


_CHATML = _turns("<|im_start|>", "\n", "<|im_end|>\n", generation="<|im_start|>assistant\n")
_MODEL_ROLE = "'model' if message.role == 'assistant' else message.role"
_GEMMA = "{{ bos_token }}{% for message in messages %}" + (
    "{% if message.role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% if (message.role == 'user') != loop.index0 is even %}{{ raise_exception('Roles must alternate') }}{% endif %}"
    f"<start_of_turn>{{{{ {_MODEL_ROLE} }}}}\n{{{{ message.content | trim }}}}<end_of_turn>\n"
    "{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
_INSTRUCTIONS = (
    "{{ bos_token }}{% set system = namespace(text='') %}{% for message in messages %}"
    "{% if message.role == 'system' %}{% set system.text = message.content %}"
    "{% elif message.role == 'user' %}[INST] {% if system.text %}<<SYS>>\n{{ system.text }}\n<</SYS>>\n\n"
    "{% set system.text = '' %}{% endif %}{{ message.content }} [/INST]"
    "{% else %} {{ message.content }} </s>{% endif %}{% endfor %}"
)
_DROPS_SYSTEM = (
    "{{ bos_token }}{% for message in messages %}{% if message.role == 'user' %}[INST] {{ message.content }}[/INST]"
    "{% elif message.role == 'assistant' %} {{ message.content }}</s>{% endif %}{% endfor %}"
)
_QWEN3 = _turns(
    "<|im_start|>", "\n", "<|im_end|>\n",
    generation="<|im_start|>assistant\n{% if not enable_thinking %}<think>\n\n</think>\n\n{% endif %}",
)  # fmt: skip
_LLAMA3 = "{{ bos_token }}" + _turns(
    "<|start_header_id|>", "<|end_header_id|>\n\n", "<|eot_id|>",
    generation="<|start_header_id|>assistant<|end_header_id|>\n\n",
)  # fmt: skip
_COMMAND = "{{ bos_token }}" + _turns(
    "<|START_OF_TURN_TOKEN|>", "", "<|END_OF_TURN_TOKEN|>",
    roles="{'system': '<|SYSTEM_TOKEN|>', 'user': '<|USER_TOKEN|>', 'assistant': '<|CHATBOT_TOKEN|>'}[message.role]",
    generation="<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>",
)  # fmt: skip
_PHI = (
    "{% for message in messages %}<|{{ message.role }}|>\n{{ message.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% else %}{{ eos_token }}{% endif %}"
)

FAMILIES = {
    "Llama 2": Family(("<s>", "</s>"), "</s>", "</s>", _INSTRUCTIONS, bos="<s>"),
    "Llama 3": Family(
        ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        "<|end_of_text|>", "<|eot_id|>", _LLAMA3, bos="<|begin_of_text|>", stops=("<|end_of_text|>", "<|eot_id|>"),
    ),
    "Qwen 2.5 base": Family(
        ("<|endoftext|>", "<|im_start|>", "<|im_end|>"), "<|endoftext|>", "<|im_end|>", _CHATML, pad="<|endoftext|>"
    ),
    "Qwen 3": Family(
        ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>"), "<|im_end|>", "<|im_end|>", _QWEN3,
        pad="<|endoftext|>", stops=("<|im_end|>", "<|endoftext|>"),
    ),
    "Gemma": Family(
        ("<pad>", "<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"), "<eos>", "<end_of_turn>", _GEMMA,
        bos="<bos>", pad="<pad>", stops=("<eos>", "<end_of_turn>"),
    ),
    "Mistral": Family(("<s>", "</s>", "[INST]", "[/INST]"), "</s>", "</s>", _DROPS_SYSTEM, bos="<s>"),
    "Command-R": Family(
        ("<BOS_TOKEN>", "<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>", "<|SYSTEM_TOKEN|>", "<|USER_TOKEN|>",
         "<|CHATBOT_TOKEN|>"),
        "<|END_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>", {"default": _COMMAND, "tool_use": _COMMAND, "rag": _COMMAND},
        bos="<BOS_TOKEN>",
    ),
    "Phi": Family(
        ("<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"), "<|endoftext|>", "<|end|>", _PHI,
        stops=("<|endoftext|>", "<|end|>"),
    ),
    "GPT-2": Family(("<|endoftext|>",), "<|endoftext|>", "<|endoftext|>", None),
}  # fmt: skip
