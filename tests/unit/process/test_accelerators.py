"""An accelerator's error says who must act: another device, a person, or nobody but the program's authors."""

from __future__ import annotations

import pytest
import torch

from skutune.errors import DeviceError, InputError, RetryableError, SkutuneError
from skutune.process.accelerators import check_devices, translate_device_errors

# As PyTorch words them: the text of the CUDA runtime's error, and advice after it.
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


@pytest.mark.parametrize(("error", "kind"), ERRORS, ids=lambda value: str(value)[:40])
def test_an_error_of_a_device_gets_the_class_of_who_must_act(error: RuntimeError, kind: type[SkutuneError]) -> None:
    with pytest.raises(kind) as raised, translate_device_errors():
        raise error
    assert type(raised.value) is kind
    assert str(error) in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: device-side assert triggered",
        "CUDA error: an illegal memory access was encountered",
        "The size of tensor a (3) must match the size of tensor b (4)",
    ],
)
def test_what_is_the_programs_fault_stays_what_it_is(text: str) -> None:
    with pytest.raises(RuntimeError, match=text.split(":")[0].split("(")[0]) as raised, translate_device_errors():
        raise torch.AcceleratorError(text)
    assert not isinstance(raised.value, SkutuneError)


def test_devices_that_were_asked_for_and_cannot_be_seen_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 7)
    check_devices(7)
    with pytest.raises(DeviceError, match="8 devices were asked for, and 7 are seen"):
        check_devices(8)


@pytest.mark.skipif(torch.version.cuda is not None, reason="this PyTorch knows GPUs")
def test_a_pytorch_for_cpus_is_the_wrong_image_and_no_faulty_device() -> None:
    with pytest.raises(InputError, match="works on a CPU only"):
        check_devices(1)
