"""Training examples on disk: JSON lines in the chat format → an Arrow file that is mapped into memory.

A line holds `messages`, the last of them the assistant's answer, and any other columns; of these only `kind` is read:
in one of the kind "description" the answer is nothing but a product. Lines of the form `prompt` and `completion` (both
lists of messages) are read too. `encoding` describes what becomes of an example that is too long.

The file is read once, a few hundred lines at a time, so that memory does not grow with it. Of the processes of one
machine one encodes and the others wait for its file.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from skutune.engines.weights.folders import atomic_folder
from skutune.errors import InputError
from skutune.hashing import content_key, file_digest
from skutune.process.watchdog import heartbeat
from skutune.store.atomic_files import translate_os_errors
from skutune.training.encoding import Chat, Encoded, ExampleEncoder
from skutune.training.tokens import IGNORED

_BATCH = 512
_POLL_SECONDS = 0.2
_TABLE, _COUNTS = "examples.arrow", "counts.json"


@dataclass(frozen=True, slots=True)
class Examples:
    """Encoded examples, and what the length limit did.

    `rows` is a `datasets.Dataset` with the columns `input_ids`, `labels` and `loss_weights`, lists of equal length.
    `cut` lost the end of their answer, `left_out` had no room for enough of it. `tokens` and `taught` count all tokens
    and those with a label.
    """

    rows: Any
    cut: int
    left_out: int
    tokens: int
    taught: int

    @property
    def lengths(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Tokens of each example, shape (examples,), without reading them."""
        import pyarrow.compute as pc

        lengths: Any = pc.list_value_length(self.rows.data.column("input_ids"))
        return np.asarray(lengths.combine_chunks(), dtype=np.int64)


@dataclass
class _Counts:
    """What the encoding of a file came to."""

    examples: int = 0
    cut: int = 0
    left_out: int = 0
    tokens: int = 0
    taught: int = 0

    def add(self, example: Encoded | None) -> None:
        if example is None:
            self.left_out += 1
            return
        self.examples += 1
        self.cut += example.is_cut
        self.tokens += len(example.input_ids)
        self.taught += len(example.labels) - example.labels.count(IGNORED)


def load_examples(
    path: Path,
    tokenizer: Any,
    max_length: int,
    cache: Path,
    *,
    reference_weight: float = 1.0,
    limit: int | None = None,
    waits: bool = False,
) -> Examples:
    """Encode a file of examples, or open the cached encoding of the same file and settings.

    Args:
        path: JSON lines in the chat format.
        tokenizer: see `encoding.Encoder`, as for `max_length` and `reference_weight`.
        cache: a folder for the encoded files, each in a subfolder named by a hash of its inputs.
        limit: encode only this many lines, from the start of the file.
        waits: another process encodes the same file into the same `cache`; wait for it. Waiting counts as progress for
            the watchdog: if the other process hangs, its own watchdog ends both.

    Raises:
        InputError: the file is missing, empty, not JSON lines in the chat format, or all examples are too long.
        RetryableError: the disk is full.
    """
    _check_not_empty(path)
    encoder = ExampleEncoder(tokenizer, max_length, reference_weight)
    folder = cache / _key(path, encoder, limit)
    while waits and not folder.is_dir():
        heartbeat()
        time.sleep(_POLL_SECONDS)
    if not folder.is_dir():
        _encode(path, encoder, limit, folder)
    return _open(path, folder, max_length)


def messages_of(row: Mapping[str, Any]) -> list[dict[str, str]]:
    """The chat of a row, in either form."""
    if row.get("messages"):
        return list(row["messages"])
    return [*(row.get("prompt") or []), *(row.get("completion") or [])]


def _key(path: Path, encoder: ExampleEncoder, limit: int | None) -> str:
    """A hash of everything that determines the encoded examples."""
    tokenizer = encoder.tokenizer
    words = [tokenizer.backend_tokenizer.to_str(), tokenizer.chat_template, tokenizer.special_tokens_map]
    return content_key([file_digest(path), words, encoder.max_length, encoder.reference_weight, limit])


def _encode(path: Path, encoder: ExampleEncoder, limit: int | None, folder: Path) -> None:
    with atomic_folder(folder, "encoding") as temporary:
        temporary.mkdir()
        counts = _write_table(temporary / _TABLE, _encoded(path, encoder, limit))
        (temporary / _COUNTS).write_text(json.dumps(asdict(counts)), encoding="utf-8")


def _write_table(path: Path, batches: Iterator[list[Encoded | None]]) -> _Counts:
    """Write batches as they come in Arrow's stream format, which `datasets` maps into memory.

    Raises:
        RetryableError: the disk is full.
    """
    import pyarrow as pa

    columns = {"input_ids": pa.int32(), "labels": pa.int32(), "loss_weights": pa.float32()}
    schema = pa.schema([(name, pa.list_(kind)) for name, kind in columns.items()])
    counts = _Counts()
    with (
        translate_os_errors("write", path),
        pa.OSFile(str(path), "wb") as file,
        pa.ipc.new_stream(file, schema) as stream,
    ):
        for batch in batches:
            heartbeat()
            for example in batch:
                counts.add(example)
            kept = [example for example in batch if example is not None]
            arrays = [pa.array([getattr(each, name) for each in kept], schema.field(name).type) for name in columns]
            stream.write_batch(pa.record_batch(arrays, schema))
    return counts


def _encoded(path: Path, encoder: ExampleEncoder, limit: int | None) -> Iterator[list[Encoded | None]]:
    from jinja2 import TemplateError

    lines = _chats(path, limit)
    while batch := list(islice(lines, _BATCH)):
        try:
            yield encoder.encode([chat for _, chat in batch])
        except TemplateError as error:
            raise InputError(
                f"examples {path}, lines {batch[0][0]} to {batch[-1][0]}: the chat template refuses a chat: {error}"
            ) from error


def _chats(path: Path, limit: int | None) -> Iterator[tuple[int, Chat]]:
    """The chats of a file, each with the number of its line."""
    with path.open(encoding="utf-8") as file:
        for number, line in islice(((n, text) for n, text in enumerate(file, start=1) if text.strip()), limit):
            yield number, _chat(line, f"examples {path}, line {number}")


def _chat(line: str, where: str) -> Chat:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise InputError(f"{where}: not JSON: {error}") from error
    if not isinstance(row, dict) or not ("messages" in row or {"prompt", "completion"} <= row.keys()):
        raise InputError(f"{where}: has neither `messages` nor `prompt` and `completion`")
    messages = messages_of(row)
    if not all(isinstance(each, dict) and _is_message(each) for each in messages):
        raise InputError(f"{where}: a message is not an object with the strings `role` and `content`")
    if len(messages) < 2 or messages[-1]["role"] != "assistant":
        raise InputError(f"{where}: does not end with an assistant message")
    return Chat(messages, is_identity=row.get("kind") == "description")


def _is_message(message: Mapping[str, Any]) -> bool:
    return isinstance(message.get("role"), str) and isinstance(message.get("content"), str)


def _open(path: Path, folder: Path, max_length: int) -> Examples:
    from datasets import Dataset

    counts = _Counts(**json.loads((folder / _COUNTS).read_text(encoding="utf-8")))
    if counts.examples == 0:
        raise InputError(
            f"examples {path}: none of the {counts.left_out} fits into {max_length} tokens with a complete product in "
            "its answer; raise stages.finetune.max_length"
        )
    rows = Dataset.from_file(str(folder / _TABLE))
    return Examples(rows, counts.cut, counts.left_out, counts.tokens, counts.taught)


def _check_not_empty(path: Path) -> None:
    if not path.is_file():
        raise InputError(f"examples {path}: no such file")
    with path.open("rb") as lines:
        if not any(line.strip() for line in lines):
            raise InputError(
                f"examples {path}: has no examples; see why compose rejected them "
                "(`skutune status`), or lower stages.compose.hold_out_products"
            )
