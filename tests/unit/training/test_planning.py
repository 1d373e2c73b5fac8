"""How a training is done is said aloud where a person may have expected something else."""

import logging

from skutune.config import FinetuneConfig
from skutune.training import zero
from skutune.training.planning import choose_plan


def plan(base, processes, **settings):
    return choose_plan(base, FinetuneConfig(**settings), 128, "float32", processes, processes)


def test_training_without_packing_is_said_aloud(base, caplog):
    with caplog.at_level(logging.INFO, "skutune"):
        assert plan(base, 1).max_tokens is None
        assert "without packing: no flash attention kernel" in caplog.text
        caplog.clear()
        plan(base, 1, packing=False)
        assert not caplog.text


def test_whole_weights_of_several_processes_are_shared_where_deepspeed_is_there(base, caplog, monkeypatch):
    monkeypatch.setattr(zero, "is_installed", lambda: True)
    assert plan(base, 2, method="full").split.zero_stage == 2
    assert plan(base, 2, method="lora").split.zero_stage == 0
    monkeypatch.setattr(zero, "is_installed", lambda: False)
    assert plan(base, 2, method="full").split.zero_stage == 0
    assert "without ZeRO: deepspeed is not installed" in caplog.text


def test_a_micro_batch_is_no_larger_than_a_processs_share_of_a_step(base):
    assert plan(base, 8, batch_size=20, micro_batch_size=8).rows == 3
    assert plan(base, 8, batch_size=1, micro_batch_size=8).rows == 1
