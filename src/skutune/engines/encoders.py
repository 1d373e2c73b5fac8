"""Encoders: a sentence-transformers model, or the mean of an LLM's last hidden states."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from skutune.config.schema import EncoderConfig
from skutune.errors import DeviceError, InputError
from skutune.process.number_format import number_format
from skutune.process.watchdog import heartbeat

_BLANK = "-"
"""Replaces an empty text, which has no tokens to embed."""


class SentenceEncoder:
    """An `Encoder` over a sentence-transformers folder, with the pooling that the folder defines.

    Raises:
        InputError: the folder cannot be loaded.
    """

    def __init__(self, folder: Path, config: EncoderConfig) -> None:
        from sentence_transformers import SentenceTransformer

        try:
            self.model = SentenceTransformer(
                str(folder), device=_device(), local_files_only=True, model_kwargs={"dtype": _dtype()}
            )
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"encoder {folder}: cannot be loaded: {error}") from error
        self.model.max_seq_length = min(config.max_tokens, self.model.max_seq_length or config.max_tokens)
        self.batch_size = config.batch_size

    @property
    def dimension(self) -> int:
        """The length of a vector."""
        return int(self.model.get_embedding_dimension())

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `Encoder`. Raises DeviceError for a vector with NaN or infinity."""
        if not texts:
            return np.zeros((0, self.dimension), np.float32)
        heartbeat()
        # `encode` sorts the texts by length.
        vectors = self.model.encode(
            [text.strip() or _BLANK for text in texts],
            batch_size=self.batch_size,
            convert_to_numpy=True,
            show_progress_bar=False,
        )
        return unit_vectors(vectors)

    def close(self) -> None:
        """Free the model's memory; the encoder cannot be used afterwards."""
        del self.model
        _empty_cache()


class MeanPooledEncoder:
    """An `Encoder` over the folder of any language model: the mean of the last hidden states over a text's tokens.

    Raises:
        InputError: the folder cannot be loaded.
    """

    def __init__(self, folder: Path, config: EncoderConfig) -> None:
        from transformers import AutoModel, AutoTokenizer

        try:
            self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            self.model = AutoModel.from_pretrained(folder, dtype=_dtype(), local_files_only=True).to(_device()).eval()
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"encoder {folder}: cannot be loaded: {error}") from error
        # With a decoder, padding must not precede the text.
        self.tokenizer.padding_side = "right"
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self.batch_size, self.max_tokens = config.batch_size, config.max_tokens

    @property
    def dimension(self) -> int:
        """The length of a vector."""
        return int(self.model.config.hidden_size)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `Encoder`. Raises DeviceError for a vector with NaN or infinity."""
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        by_length = sorted(range(len(texts)), key=lambda index: -len(texts[index]))
        for start in range(0, len(texts), self.batch_size):
            heartbeat()
            batch = by_length[start : start + self.batch_size]
            vectors[batch] = self._encode_batch([texts[index].strip() or _BLANK for index in batch])
        return unit_vectors(vectors)

    def close(self) -> None:
        """Free the model's memory; the encoder cannot be used afterwards."""
        del self.model
        _empty_cache()

    @torch.inference_mode()  # type: ignore[untyped-decorator, unused-ignore]
    def _encode_batch(self, texts: list[str]) -> Any:
        tokens = self.tokenizer(texts, padding=True, truncation=True, max_length=self.max_tokens, return_tensors="pt")
        tokens = tokens.to(self.model.device)
        output = self.model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"], use_cache=False)
        hidden = output.last_hidden_state.float()
        mask = tokens["attention_mask"][:, :, None].float()
        return ((hidden * mask).sum(1) / mask.sum(1)).cpu().numpy()


def unit_vectors(vectors: Any) -> NDArray[np.float32]:
    """Normalize vectors (n, dimension) to unit length. Raises DeviceError for NaN, infinity or a zero vector."""
    vectors = np.asarray(vectors, dtype=np.float32)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or not lengths.all():
        raise DeviceError("the encoder returned NaN, infinite or zero vectors; the device or the weights are faulty")
    scaled: NDArray[np.float32] = vectors / lengths
    return scaled


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _dtype() -> torch.dtype | str:
    """The dtype of the weights, so that a float32 encoder stays exact; float32 on CPUs that are slower in 16 bits."""
    return "auto" if number_format("auto").itemsize == 2 else torch.float32


def _empty_cache() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
