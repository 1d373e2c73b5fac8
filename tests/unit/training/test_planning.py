"""How a training is done is said aloud where a person may have expected something else."""

import logging

import pytest
import torch

from skutune.config.schema import FinetuneConfig
from skutune.training import memory, planning, zero_config
from skutune.training.checkpoints import Split
from skutune.training.planning import choose_plan


def plan(base, processes, begun=None, **settings):
    return choose_plan(base, FinetuneConfig(**settings), 128, "float32", processes, processes, begun)


def test_training_without_packing_is_said_aloud(base, caplog):
    with caplog.at_level(logging.INFO, "skutune"):
        assert plan(base, 1).max_tokens is None
        assert "without packing: it needs a flash attention kernel" in caplog.text
        caplog.clear()
        plan(base, 1, packing=False)
        assert not caplog.text


def test_whole_weights_of_several_processes_are_shared_where_deepspeed_is_there(base, caplog, monkeypatch):
    monkeypatch.setattr(zero_config, "is_installed", lambda: True)
    assert plan(base, 2, method="full").split.zero_stage == 2
    assert plan(base, 2, method="lora").split.zero_stage == 0
    monkeypatch.setattr(zero_config, "is_installed", lambda: False)
    assert plan(base, 2, method="full").split.zero_stage == 0
    assert "without ZeRO: deepspeed is not installed" in caplog.text


def test_a_micro_batch_is_no_larger_than_a_processs_share_of_a_step(base):
    assert plan(base, 8, batch_size=20, micro_batch_size=8).rows == 3
    assert plan(base, 8, batch_size=1, micro_batch_size=8).rows == 1


@pytest.fixture
def tight(base, monkeypatch):
    """Devices that hold the weights of an adapter's training whole beside 4 examples' activations, not beside 8."""
    monkeypatch.setattr(zero_config, "is_installed", lambda: True)
    shape = memory.shape_of(base, 16)
    small, large = (memory.needed(shape, "lora", memory.Fit(rows, 0, True), 128, 4, 8) for rows in (4, 8))
    monkeypatch.setattr(memory, "device_bytes", lambda here: int((small + large) / 2 / 0.9))


def test_a_micro_batch_that_was_halved_leaves_the_checkpoint_readable(base, tight):
    begun = plan(base, 8, batch_size=64, micro_batch_size=8).split
    assert begun.zero_stage == 3
    assert plan(base, 8, batch_size=64, micro_batch_size=4).split.zero_stage == 0
    assert plan(base, 8, begun, batch_size=64, micro_batch_size=4).split == begun


def test_a_checkpoint_without_zero_is_gone_on_from_by_any_number_of_processes_without_it(base, tight):
    assert plan(base, 8, Split(1, 0), batch_size=64, micro_batch_size=8).split == Split(8, 0)
    assert plan(base, 2, Split(1, 0), method="full").split == Split(2, 0)
    assert plan(base, 2, Split(8, 3), method="full").split == Split(2, 2)  # which cannot read it, and is refused


def test_a_gpu_without_a_compiler_for_its_kernels_is_said_aloud(base, caplog, monkeypatch, tmp_path):
    monkeypatch.setattr(planning, "device", lambda: torch.device("cuda"))
    monkeypatch.setenv("PATH", str(tmp_path))
    plan(base, 1, packing=False)
    assert "no C compiler" in caplog.text
    caplog.clear()
    (tmp_path / "gcc").touch(0o755)
    plan(base, 1, packing=False)
    assert not caplog.text
