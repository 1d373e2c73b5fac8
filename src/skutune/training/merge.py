"""Merged weights: an adapter and its base as one model, for servers that cannot load adapters."""

from __future__ import annotations

from pathlib import Path

from skutune.errors import InputError
from skutune.process.number_format import number_format
from skutune.process.watchdog import extended
from skutune.training.models import load_tuned, stop_at_turn_end


def merge(base: Path, adapter: Path, folder: Path, dtype: str) -> None:
    """Write merged weights and the adapter's tokenizer.

    16-bit rounding drops updates that are much smaller than their weight, so that the merged model may occasionally
    generate other tokens than base and adapter.

    Args:
        base: folder of the base model.
        adapter: folder of the adapter.
        folder: gets the model.
        dtype: auto, bfloat16, float16 or float32, as the adapter was trained in.

    Raises:
        InputError: the adapter does not fit the base, or the merged weights are not finite.
    """
    from transformers import AutoTokenizer

    tuned = load_tuned(base, adapter, number_format(dtype))
    with extended():
        try:
            model = tuned.merge_and_unload(safe_merge=True)
        except ValueError as error:
            raise InputError(f"adapter {adapter}: cannot be merged into its base: {error}") from error
        tokenizer = AutoTokenizer.from_pretrained(adapter, local_files_only=True)
        stop_at_turn_end(model, tokenizer)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
