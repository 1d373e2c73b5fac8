"""Several processes train one model: the same training as one process's, and one exit code."""

import json
import os
import signal
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from byte_model import save_nan_base
from servers import non_ephemeral_port

from skutune.stages.finetune import base_name, base_reference
from skutune.training.metrics_callback import read_points
from skutune.training.sft import finetune

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def last_event(stderr):
    return json.loads(stderr.strip().splitlines()[-1])


def test_killed_and_started_again_by_torchrun_two_processes_train_as_one(training, chat_file, pairs):
    # Five examples a step: the processes' shares are not equal.
    together = training("together", batch_size=5, micro_batch_size=2, epochs=8)
    process = together.start("--processes", "2")
    ranks = children_when_training(process, together)
    os.kill(ranks[1], signal.SIGKILL)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 75
    assert last_event(stderr)["exit_code"] == 75
    assert all_end(ranks)

    code, stderr = together.work(start=TORCHRUN)
    assert code == 0, stderr
    figures = together.manifest().figures
    assert figures["resumed_from_step"] > 0
    assert figures["steps"] == 32
    assert together.losses() == pytest.approx(losses_alone(together, chat_file(pairs)), rel=2e-3)
    assert stderr.count("worker_started") == 1
    # Each written by one process only, and nothing is left of the checkpoints.
    names = [entry.table for entry in together.manifest().entries]
    assert len(names) == len(set(names))
    assert not list(together.store.list(f"{together.task.folder}/checkpoints/"))


@pytest.mark.skipif(find_spec("deepspeed") is None, reason="DeepSpeed is not installed; `make test` builds it")
def test_told_to_stop_and_started_again_two_processes_that_share_the_optimizer_train_as_one(training, chat_file, pairs):
    shared = training("shared", method="full", learning_rate=2e-3, epochs=8)
    process = shared.start("--processes", "2")
    ranks = children_when_training(process, shared)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 143
    assert last_event(stderr)["exit_code"] == 143
    assert all_end(ranks)

    code, stderr = shared.work("--processes", "2")
    assert code == 0, stderr
    figures = shared.manifest().figures
    assert figures["plan"]["zero_stage"] == 2
    assert figures["resumed_from_step"] > 0
    assert shared.losses() == pytest.approx(losses_alone(shared, chat_file(pairs)), rel=2e-3)


def test_a_loss_that_is_no_number_ends_all_processes_with_the_users_error(training, tmp_path):
    broken = training("broken", base=save_nan_base(tmp_path / "nan"))
    code, stderr = broken.work("--processes", "2")
    assert code == 10
    assert "loss of step 1 is nan" in last_event(stderr)["message"]


@pytest.mark.parametrize(
    ("name", "identity", "reference", "shown"),
    [
        ("owner/model", "owner/model@0123", "owner/model", "owner/model"),
        ("s3://bucket/models/owner--model/0123", "owner/model@0123", "owner/model", "owner/model"),
        ("/weights/owner--model/0123", "owner/model@0123", "owner/model", "owner/model"),
        ("/weights/tiny", "sha256:0123", "/weights/tiny", "tiny"),
        ("s3://bucket/trained", "sha256:0123", "s3://bucket/trained", "s3://bucket/trained"),
    ],
)
def test_an_adapter_refers_to_its_base_and_a_card_has_no_path(name, identity, reference, shown):
    assert base_reference(name, identity) == reference
    assert base_name(name, identity) == shown


def test_two_machines_meet_and_train_where_there_is_an_example_for_one_of_them_alone(training):
    apart = training("apart", epochs=5, examples=1)
    rendezvous = f"127.0.0.1:{non_ephemeral_port()}"
    second, first = (
        apart.start("--nodes", "2", "--node-rank", str(node), "--rendezvous", rendezvous) for node in (1, 0)
    )
    try:
        _, words = first.communicate(timeout=240)
        assert first.returncode == 0, words
        _, words = second.communicate(timeout=60)
        assert second.returncode == 0, words
    finally:
        [process.kill() for process in (first, second)]
    figures = apart.manifest().figures
    assert (figures["steps"], figures["plan"]["processes"]) == (5, 2)


def losses_alone(training, examples):
    """The curve of the same training by one process, this one."""
    settings = training.config.stages.finetune
    finetune(
        training.base, examples, None, settings, training.folder / "alone",
        base_name="tiny", dtype="float32", resume=None, on_step=lambda point: None,
    )  # fmt: skip
    points = read_points(training.folder / "alone" / "metrics.jsonl")
    return {point.step: point.loss for point in points if point.loss is not None}


def all_end(processes):
    """Whether all these have ended or soon do: each of them ends by itself when its parent has."""
    until = time.monotonic() + 30
    while any(Path(f"/proc/{process}").exists() for process in processes):
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


def children_when_training(process, training):
    """The processes of a training of two, once both have put a checkpoint of it into the store."""
    until = time.monotonic() + 240
    while not both_have_stored(training):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.05)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(child) for child in children]


def both_have_stored(training):
    keys = [info.key for info in training.store.list(f"{training.task.folder}/checkpoints/")]
    return any(key.replace("stored-0", "stored-1") in keys for key in keys if "/stored-0" in key)
