"""A disk that is full is said to be, in whatever way a library says that it could not write."""

import errno
import shutil
from collections import namedtuple

import pytest
from safetensors import SafetensorError

from skutune.config.schema import FinetuneConfig
from skutune.errors import RetryableError
from skutune.stages import finetune as finetune_stage
from skutune.training import save
from skutune.training.disk_full import disk_full_as_retryable
from skutune.training.sft import finetune

NO_SPACE = OSError(errno.ENOSPC, "No space left on device")
Usage = namedtuple("Usage", "total used free")


def room(monkeypatch, free):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(10**9, 10**9 - free, free))


@pytest.mark.parametrize(
    "error", [OSError("a write failed"), RuntimeError("PytorchStreamWriter failed"), SafetensorError("I/O error")]
)
def test_a_write_that_fails_on_a_full_disk_can_be_tried_again_and_on_another_it_is_what_it_was(
    tmp_path, monkeypatch, error
):
    room(monkeypatch, 1000)
    with (
        pytest.raises(RetryableError, match=r"cannot write the curves to .*: the disk is full"),
        disk_full_as_retryable("the curves", tmp_path),
    ):
        raise error
    room(monkeypatch, 10**8)
    with pytest.raises(type(error)) as raised, disk_full_as_retryable("the curves", tmp_path):
        raise error
    assert raised.value is error


def test_a_quota_that_is_used_up_is_a_full_disk_whatever_is_free_on_it(tmp_path):
    with pytest.raises(RetryableError), disk_full_as_retryable("the curves", tmp_path):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")


def fail(*_, **__):
    raise NO_SPACE


@pytest.mark.parametrize("part", ["curves", "checkpoint", "result"])
def test_whatever_a_training_writes_last_a_full_disk_is_told(base, chat_file, pairs, tmp_path, monkeypatch, part):
    called = {"on_step": lambda point: None, "on_checkpoint": None}
    if part == "result":
        monkeypatch.setattr(save, "save_model", fail)
    else:
        called["on_step" if part == "curves" else "on_checkpoint"] = fail
    with pytest.raises(RetryableError, match="the disk is full"):
        finetune(
            base, chat_file(pairs[:4]), None, FinetuneConfig(max_length=128, lora_rank=4), tmp_path / "out",
            base_name="tiny", dtype="float32", resume=None, **called,
        )  # fmt: skip


def test_a_disk_that_fills_up_after_the_training_is_told_too(training, monkeypatch):
    monkeypatch.setattr(finetune_stage, "write_events", fail)
    with pytest.raises(RetryableError, match="cannot write what belongs to the weights"):
        training("after", epochs=1).work_here()
