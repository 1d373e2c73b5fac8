"""How large the work of `make bench-gpu` is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """The shape of Llama-2-7B, and a minute or two of work for an H100 each.

    `length` is the longest example in tokens; examples have from a third of it to all of it.
    """

    hidden: int = 4096
    inner: int = 11008
    layers: int = 32
    heads: int = 32
    vocabulary: int = 32000
    length: int = 1024
    examples: int = 768
    batch: int = 32
    micro_batch: int = 8
    rank: int = 16
    prompts: int = 64
    new_tokens: int = 128
    classes: int = 49688
    texts: int = 6
    dimension: int = 384
    epochs: int = 5

    @classmethod
    def tiny(cls) -> Sizes:
        """Seconds of one CPU core."""
        return cls(
            hidden=32, inner=64, layers=2, heads=4, vocabulary=258, length=128, examples=8, batch=4, micro_batch=2,
            rank=2, prompts=4, new_tokens=4, classes=60, texts=4, dimension=16, epochs=1,
        )  # fmt: skip
