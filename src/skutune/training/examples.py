"""Training examples: JSON lines in the chat format → token ids and labels, on disk and in a stated order.

A line holds `messages`, the last of them the assistant's answer, and any other columns, which are kept out of training.
Lines of the form `prompt` and `completion` (both lists of messages) are read too. An example longer than `max_length`
tokens loses the end of its answer; one whose prompt alone is that long is left out. Both are counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skutune.errors import InputError
from skutune.training.tokens import IGNORED, encode


@dataclass(frozen=True, slots=True)
class Examples:
    """Encoded examples: a `datasets.Dataset` with `input_ids` and `labels`, and what the length limit did.

    `cut` lost the end of their answer, `left_out` had no room for any answer.
    """

    rows: Any
    cut: int
    left_out: int


def load_examples(path: Path, tokenizer: Any, max_length: int, cache: Path) -> Examples:
    """Read and encode a file of examples; `cache` is a folder for the tables that are mapped into memory.

    Raises:
        InputError: the file is missing, empty, not JSON lines in the chat format, or all examples are too long.
    """
    from datasets import load_dataset
    from datasets.exceptions import DatasetGenerationError

    _check_not_empty(path)
    try:
        raw = load_dataset("json", data_files=str(path), split="train", cache_dir=str(cache))
    except (DatasetGenerationError, ValueError) as error:
        cause = error.__cause__ or error
        raise InputError(f"examples {path}: not JSON lines with the same columns: {cause}") from error
    _check_columns(path, raw.column_names)
    encoded = raw.map(
        lambda row, number: _encode_row(row, number, tokenizer, max_length, path),
        with_indices=True,
        remove_columns=raw.column_names,
        load_from_cache_file=False,
    )
    fitting = encoded.filter(lambda fits: fits, input_columns="fits", load_from_cache_file=False)
    if len(fitting) == 0:
        raise InputError(
            f"examples {path}: every prompt alone fills {max_length} tokens; raise stages.finetune.max_length"
        )
    left_out = len(encoded) - len(fitting)
    return Examples(fitting.select_columns(["input_ids", "labels"]), cut=sum(fitting["cut"]), left_out=left_out)


def messages_of(row: Mapping[str, Any]) -> list[dict[str, str]]:
    """The chat of a row, in either form."""
    if row.get("messages"):
        return list(row["messages"])
    return [*(row.get("prompt") or []), *(row.get("completion") or [])]


def _encode_row(row: Mapping[str, Any], number: int, tokenizer: Any, max_length: int, path: Path) -> dict[str, Any]:
    messages = messages_of(row)
    if len(messages) < 2 or messages[-1]["role"] != "assistant":
        raise InputError(f"examples {path}: example {number + 1} does not end with an answer of the assistant")
    ids, labels = encode(tokenizer, messages)
    kept = labels[:max_length]
    fits = any(label != IGNORED for label in kept)
    return {"input_ids": ids[:max_length], "labels": kept, "cut": len(ids) > max_length, "fits": fits}


def _check_not_empty(path: Path) -> None:
    if not path.is_file():
        raise InputError(f"examples {path}: no such file")
    with path.open("rb") as lines:
        if not any(line.strip() for line in lines):
            raise InputError(
                f"examples {path}: holds no example, so there is nothing to train on; see why compose rejected them "
                "(`skutune status`), or lower stages.compose.hold_out_products"
            )


def _check_columns(path: Path, columns: list[str]) -> None:
    if "messages" not in columns and not {"prompt", "completion"} <= set(columns):
        raise InputError(f"examples {path}: has neither `messages` nor `prompt` and `completion`, but {columns}")
