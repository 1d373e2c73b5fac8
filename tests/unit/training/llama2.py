"""A tokenizer of Llama 2's kind: spaces inside words, unknown characters as bytes, no pad token, no chat template."""

from tokenizers import Tokenizer, decoders, models, normalizers
from transformers import PreTrainedTokenizerFast

SPECIAL = ["<unk>", "<s>", "</s>"]


def llama2_tokenizer():
    """As the hub's tokenizer.json of Llama 2 is made, with a vocabulary of single letters and some words."""
    letters = [chr(code) for code in range(33, 127)] + ["▁"]
    words = ["▁B", "▁Be", "ea", "ns"]
    pieces = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)), *letters, *words]
    merges = [("▁", "B"), ("▁B", "e"), ("e", "a"), ("n", "s")]
    model = models.BPE(
        vocab={piece: number for number, piece in enumerate(pieces)}, merges=merges,
        unk_token="<unk>", fuse_unk=True, byte_fallback=True,
    )  # fmt: skip
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens(SPECIAL)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
