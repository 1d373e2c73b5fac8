"""Accelerator errors are classified as faulty device, out of memory, lost peer, or a bug."""

from __future__ import annotations

import pytest
import torch

from skutune.errors import DeviceError, InputError, RetryableError, SkutuneError
from skutune.process.accelerators import check_devices, translate_device_errors

# Messages as raised by PyTorch: the CUDA runtime error, followed by advice.
ADVICE = "\nCUDA kernel errors might be asynchronously reported at some other API call"
ERRORS = [
    (torch.AcceleratorError("CUDA error: uncorrectable ECC error encountered" + ADVICE), DeviceError),
    (torch.AcceleratorError("CUDA error: unspecified launch failure" + ADVICE), DeviceError),
    (torch.AcceleratorError("CUDA error: hardware stack error" + ADVICE), DeviceError),
    (torch.AcceleratorError("CUDA error: no CUDA-capable device is detected" + ADVICE), DeviceError),
    (torch.AcceleratorError("CUDA error: CUDA-capable device(s) is/are busy or unavailable" + ADVICE), DeviceError),
    (RuntimeError("No CUDA GPUs are available"), DeviceError),
    (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), InputError),
    (RuntimeError("CUDA error: out of memory" + ADVICE), InputError),
    (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), InputError),
    (torch.distributed.DistBackendError("NCCL error in: ProcessGroupNCCL.cpp, remote process exited"), RetryableError),
    (RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:1234"), RetryableError),
]


@pytest.mark.parametrize(("error", "error_class"), ERRORS, ids=lambda value: str(value)[:40])
def test_a_device_error_is_translated_to_its_error_class(error: RuntimeError, error_class: type[SkutuneError]) -> None:
    with pytest.raises(error_class) as raised, translate_device_errors():
        raise error
    assert type(raised.value) is error_class
    assert str(error) in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: device-side assert triggered",
        "CUDA error: an illegal memory access was encountered",
        "The size of tensor a (3) must match the size of tensor b (4)",
    ],
)
def test_bugs_are_not_translated(text: str) -> None:
    with pytest.raises(RuntimeError, match=text.split(":")[0].split("(")[0]) as raised, translate_device_errors():
        raise torch.AcceleratorError(text)
    assert not isinstance(raised.value, SkutuneError)


def test_missing_devices_are_a_device_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 7)
    check_devices(7)
    with pytest.raises(DeviceError, match="8 devices are required, but 7 are detected"):
        check_devices(8)


@pytest.mark.skipif(torch.version.cuda is not None, reason="this PyTorch build supports GPUs")
def test_a_cpu_only_pytorch_is_an_input_error() -> None:
    with pytest.raises(InputError, match="CPU-only build"):
        check_devices(1)
