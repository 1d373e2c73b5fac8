"""What an error of an accelerator means: a faulty device, too little memory, a lost peer, or a fault of the program.

Libraries raise RuntimeError for all of these and say which in words only. They are told apart here, once for all stages
and without importing PyTorch, by the texts of the CUDA runtime's error codes (HIP's begin alike).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from skutune.errors import DeviceError, InputError, RetryableError, SkutuneError

_FAULTY = (
    "uncorrectable ecc error",
    "uncorrectable nvlink error",
    "hardware stack error",
    "unspecified launch failure",
    "launch timed out",
    "no cuda-capable device",
    "no cuda gpus are available",
    "no hip gpus are available",
    "busy or unavailable",
    "system not yet initialized",
    "error: unknown error",
)
"""What another device would not say. A failed assertion in a kernel or an illegal address is the program's fault."""

_PEERS = ("gloo", "nccl", "connection closed by peer", "connection reset by peer")


@contextmanager
def translate_device_errors() -> Iterator[None]:
    """Raise errors of accelerators as those of skutune.

    Raises:
        DeviceError: the device is faulty.
        InputError: the work does not fit into its memory.
        RetryableError: another process of the same training is gone.
    """
    try:
        yield
    except RuntimeError as error:
        meaning = _meaning(error)
        if meaning is None:
            raise
        raise meaning from error


def check_devices(wanted: int) -> None:
    """See that PyTorch finds as many accelerators as this process was given.

    Raises:
        DeviceError: it finds fewer; without this check the work would go on a CPU, hundreds of times slower.
        InputError: this PyTorch knows no accelerators at all.
    """
    import torch

    if torch.version.cuda is None and getattr(torch.version, "hip", None) is None:
        raise InputError(
            f"{wanted} devices were asked for, but the PyTorch that is installed here works on a CPU only; use an "
            "image for GPUs, or ask for no devices"
        )
    found = torch.cuda.device_count()
    if found < wanted:
        raise DeviceError(f"{wanted} devices were asked for, and {found} are seen; the node's driver may have failed")


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether an accelerator, or PyTorch's allocator on a CPU, had no memory left."""
    text = str(error).lower()
    return (
        type(error).__name__ == "OutOfMemoryError"
        or ("out of memory" in text and ("cuda" in text or "hip" in text))
        or "_status_alloc_failed" in text  # cuBLAS and cuDNN, for their workspaces
        or "can't allocate memory" in text
    )


def _meaning(error: RuntimeError) -> SkutuneError | None:
    kind, text = type(error).__name__, str(error).lower()
    if is_out_of_memory(error):
        return InputError(
            "the model and its batch do not fit into the device's memory: lower the batch_size of the model or of the "
            f"training, its context or max_length, or use larger devices: {error}"
        )
    if any(words in text for words in _FAULTY):
        return DeviceError(f"the device failed: {error}")
    if kind.startswith("Dist") or any(words in text for words in _PEERS):
        return RetryableError(f"another process of the training is gone, or cannot be reached: {error}")
    return None
