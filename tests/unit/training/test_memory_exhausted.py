"""A training that runs out of memory, or of numbers, keeps what it has and says what comes next."""

import logging

import pytest
import torch

from skutune.errors import InputError, RetryableError
from skutune.training import trainer
from skutune.training.loss import summed_loss


def device_for(examples, monkeypatch):
    """Let memory suffice for so many examples at the same time."""

    def compute(model, inputs, **options):
        if len(inputs["input_ids"]) > examples:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return summed_loss(model, inputs, **options)

    monkeypatch.setattr(trainer, "summed_loss", compute)


def test_the_next_start_takes_half_the_micro_batch_and_trains_the_same_steps(training, monkeypatch, caplog):
    plain, short = training("plain"), training("short", micro_batch_size=8)
    plain.work_here()
    device_for(2, monkeypatch)
    with pytest.raises(RetryableError, match=r"micro-batch of 4; the next start uses 2 and .* batch size stays 4"):
        short.work_here()
    with caplog.at_level(logging.WARNING, "skutune"):
        short.work_here()
    assert "training with a micro-batch of 2 instead of 8" in caplog.text
    figures = short.manifest().figures
    assert figures["plan"]["micro_batch_size"] == 2
    assert short.losses() == pytest.approx(plain.losses(), rel=1e-3)


def test_what_was_trained_before_memory_ran_out_is_not_lost(training, monkeypatch):
    late = training("late", save_steps=2)
    calls = []

    def compute(model, inputs, **options):
        calls.append(1)
        if len(calls) > 10:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return summed_loss(model, inputs, **options)

    monkeypatch.setattr(trainer, "summed_loss", compute)
    with pytest.raises(RetryableError, match="resumes from the last checkpoint"):
        late.work_here()
    monkeypatch.undo()
    late.work_here()
    assert late.manifest().figures["resumed_from_step"] == 10


def test_a_single_example_is_tried_with_activations_computed_twice(training, monkeypatch, caplog):
    alone = training("alone", micro_batch_size=1)
    device_for(0, monkeypatch)
    with pytest.raises(RetryableError, match=r"micro-batch of 1; the next start uses 1 with gradient checkpointing"):
        alone.work_here()
    monkeypatch.undo()
    with caplog.at_level(logging.WARNING, "skutune"):
        alone.work_here()
    assert "a micro-batch of 1 instead of 1 and gradient checkpointing" in caplog.text
    assert alone.manifest().figures["plan"]["gradient_checkpointing"]


def test_a_single_example_that_does_not_fit_either_way_is_the_users_to_shorten(training, monkeypatch):
    device_for(0, monkeypatch)
    alone = training("alone", micro_batch_size=1)
    with pytest.raises(RetryableError):
        alone.work_here()
    with pytest.raises(InputError, match=r"a single example does not fit .*max_length \(128\)"):
        alone.work_here()


def test_a_loss_that_is_no_number_any_more_leaves_the_last_good_checkpoint(training, monkeypatch):
    broken = training("broken", save_steps=2)
    calls = []

    def compute(model, inputs, **options):
        calls.append(1)
        return summed_loss(model, inputs, **options) * (float("nan") if len(calls) > 6 else 1.0)

    monkeypatch.setattr(trainer, "summed_loss", compute)
    with pytest.raises(InputError, match="loss of step 7 is nan"):
        broken.work_here()
    assert {info.key.split("/")[4] for info in broken.store.list(f"{broken.task.folder}/checkpoints/")} == {
        "checkpoint-6"
    }
