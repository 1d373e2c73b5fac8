"""Classification of accelerator errors: faulty device, out of memory, lost peer, or a bug.

Libraries raise RuntimeError for all of these and differ only in the message. This module classifies them for all
stages, without importing PyTorch, by the messages of the CUDA runtime's error codes (HIP uses the same wording).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from skutune.errors import DeviceError, InputError, RetryableError, SkutuneError

_DEVICE_FAULTS = (
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
"""Faults that another device would not have. A failed kernel assertion or an illegal address is a bug instead."""

_PEER_FAILURES = ("gloo", "nccl", "connection closed by peer", "connection reset by peer")


@contextmanager
def translate_device_errors() -> Iterator[None]:
    """Raise accelerator errors as errors of skutune.

    Raises:
        DeviceError: the device is faulty.
        InputError: the device is out of memory.
        RetryableError: another process of the same training failed or is unreachable.
    """
    try:
        yield
    except RuntimeError as error:
        translated = _translate(error)
        if translated is None:
            raise
        raise translated from error


def check_devices(required: int) -> None:
    """Check that PyTorch detects the accelerators that this process was allocated.

    Raises:
        DeviceError: it detects fewer. Without this check, the work would silently run on the CPU.
        InputError: this PyTorch build does not support accelerators.
    """
    import torch

    if torch.version.cuda is None and getattr(torch.version, "hip", None) is None:
        raise InputError(
            f"{required} devices are required, but the installed PyTorch is a CPU-only build; use a GPU image, or "
            "request no devices"
        )
    detected = torch.cuda.device_count()
    if detected < required:
        raise DeviceError(f"{required} devices are required, but {detected} are detected; check the node's driver")


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether an accelerator, or PyTorch's CPU allocator, ran out of memory."""
    text = str(error).lower()
    return (
        type(error).__name__ == "OutOfMemoryError"
        or ("out of memory" in text and ("cuda" in text or "hip" in text))
        or "_status_alloc_failed" in text  # cuBLAS and cuDNN workspaces
        or "can't allocate memory" in text
    )


def _translate(error: RuntimeError) -> SkutuneError | None:
    class_name, text = type(error).__name__, str(error).lower()
    if is_out_of_memory(error):
        return InputError(
            "out of device memory: reduce the batch_size of the model or of the training, its context or max_length, "
            f"or use devices with more memory: {error}"
        )
    if any(message in text for message in _DEVICE_FAULTS):
        return DeviceError(f"the device failed: {error}")
    if class_name.startswith("Dist") or any(message in text for message in _PEER_FAILURES):
        return RetryableError(f"another process of the training failed or is unreachable: {error}")
    return None
