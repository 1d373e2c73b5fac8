"""A tokenizer of Llama 2's kind: spaces inside words, unknown characters as bytes, no pad token, no chat template."""

from transformers import LlamaTokenizer

SPECIAL = ["<unk>", "<s>", "</s>"]
MERGES = [("▁", "B"), ("▁B", "e"), ("e", "a"), ("n", "s")]


def llama2_tokenizer():
    """The class that Llama 2's own is, with a vocabulary of 256 bytes, single letters and some words."""
    letters = [chr(code) for code in range(33, 127)] + ["▁"]
    pieces = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)), *letters, *("".join(pair) for pair in MERGES)]
    return LlamaTokenizer(vocab={piece: number for number, piece in enumerate(pieces)}, merges=MERGES)
