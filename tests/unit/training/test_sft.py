"""Fine-tuning learns, can be killed and gone on with, and says what is wrong with its input."""

import json
import os
import subprocess
import sys

import pytest
import torch
from byte_model import save_base, save_nan_base
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from skutune.config.schema import FinetuneConfig
from skutune.errors import InputError
from skutune.prompts.chat_template import with_settings
from skutune.training import planning
from skutune.training.checkpoints import Split, check_split, complete_checkpoint, write_split
from skutune.training.examples import load_examples
from skutune.training.loss import held_out_losses
from skutune.training.metrics_callback import read_points
from skutune.training.sft import finetune
from skutune.training.tokens import load_tokenizer

QUICK = FinetuneConfig(
    epochs=2, learning_rate=2e-2, batch_size=4, micro_batch_size=2, max_length=128, save_steps=2, lora_rank=16
)


class KilledError(Exception):
    pass


def run(base, train, output, config=QUICK, validation=None, resume=None, on_step=lambda point: None, **more):
    return finetune(
        base, train, validation, config, output,
        base_name="shop/tiny", dtype="float32", resume=resume, on_step=on_step, **more,
    )  # fmt: skip


def killer(step):
    def kill(point):
        if point.step == step:
            raise KilledError

    return kill


def losses(output):
    return {point.step: point.loss for point in read_points(output / "metrics.jsonl") if point.loss is not None}


def test_the_loss_falls_in_training_and_on_validation(base, chat_file, pairs, tmp_path):
    train, validation = chat_file(pairs[:16]), chat_file(pairs[16:], "validation.jsonl")
    figures = run(base, train, tmp_path / "out", validation=validation)
    assert figures.last_loss < figures.first_loss - 0.5
    assert len(figures.validation_losses) == 2
    assert figures.validation_losses[1] < figures.validation_losses[0]


def test_the_adapter_loads_with_peft_and_names_its_base(base, chat_file, pairs, tmp_path):
    figures = run(base, chat_file(pairs), tmp_path / "out")
    adapter = tmp_path / "out" / figures.model
    assert json.loads((adapter / "adapter_config.json").read_text())["base_model_name_or_path"] == "shop/tiny"
    plain = AutoModelForCausalLM.from_pretrained(base)
    ids = torch.tensor([[1, 2, 3]])
    before = plain(ids).logits
    tuned = PeftModel.from_pretrained(plain, adapter)(ids).logits
    assert not torch.allclose(before, tuned)
    assert AutoTokenizer.from_pretrained(adapter).chat_template == with_settings(load_tokenizer(base).chat_template)


def test_held_out_loss_of_the_tuned_model_is_below_the_base(base, chat_file, pairs, tmp_path):
    run(base, chat_file(pairs[:16]), tmp_path / "out")
    tokenizer = load_tokenizer(base)
    held_out = load_examples(chat_file(pairs[16:], "held.jsonl"), tokenizer, 128, tmp_path / "cache")
    found = held_out_losses(
        base, tmp_path / "out" / "adapter", held_out, dtype="float32", batch_size=2, pad_token=tokenizer.pad_token_id
    )
    assert found.examples == 4
    assert found.tuned < found.base - 0.5


def test_a_killed_run_goes_on_as_if_it_had_not_been_killed(base, chat_file, pairs, tmp_path):
    train = chat_file(pairs)
    run(base, train, tmp_path / "whole")
    with pytest.raises(KilledError):
        run(base, train, tmp_path / "killed", on_step=killer(7))
    seen = []
    figures = run(
        base, train, tmp_path / "killed", resume=tmp_path / "killed" / "checkpoints",
        on_step=lambda point: seen.append(point.step),
    )  # fmt: skip
    assert figures.resumed_from_step == 6
    assert seen[0] == 7
    # The same losses at the same steps: the same examples in the same order, weights and optimizer as they were.
    assert losses(tmp_path / "killed") == pytest.approx(losses(tmp_path / "whole"), rel=1e-5)


def test_a_checkpoint_that_was_not_finished_is_passed_over(base, chat_file, pairs, tmp_path):
    train, output = chat_file(pairs), tmp_path / "out"
    with pytest.raises(KilledError):
        run(base, train, output, on_step=killer(7))
    (output / "checkpoints" / "checkpoint-6" / "complete").unlink()
    assert run(base, train, output, resume=output / "checkpoints").resumed_from_step == 4


def test_every_checkpoint_is_announced_when_it_is_whole(base, chat_file, pairs, tmp_path):
    announced = []
    run(base, chat_file(pairs), tmp_path / "out", on_checkpoint=lambda path: announced.append(list(path.iterdir())))
    assert len(announced) == 5
    assert all({"complete", "trainer_state.json"} <= {file.name for file in files} for files in announced)


def test_one_example_is_enough(base, chat_file, pairs, tmp_path):
    figures = run(base, chat_file(pairs[:1]), tmp_path / "out")
    assert (figures.examples, figures.steps) == (1, 2)


def test_the_whole_model_can_be_trained(base, chat_file, pairs, tmp_path):
    figures = run(base, chat_file(pairs), tmp_path / "out", QUICK.model_copy(update={"method": "full"}))
    assert figures.model == "model"
    AutoModelForCausalLM.from_pretrained(tmp_path / "out" / "model")


def test_a_base_without_chat_template_or_pad_token_can_be_trained(chat_file, pairs, tmp_path):
    bare = save_base(tmp_path / "bare", template=None)
    assert AutoTokenizer.from_pretrained(bare).pad_token is None
    run(bare, chat_file(pairs), tmp_path / "out")
    assert "### Question:" in AutoTokenizer.from_pretrained(tmp_path / "out" / "adapter").chat_template


def test_nothing_to_train_on_is_the_users_error(base, chat_file, tmp_path):
    with pytest.raises(InputError, match="has no examples"):
        run(base, chat_file([]), tmp_path / "out")


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_curves(chat_file, pairs, tmp_path):
    broken = save_nan_base(tmp_path / "broken")
    with pytest.raises(InputError, match=r"loss of step 1 is nan.*learning_rate"):
        run(broken, chat_file(pairs), tmp_path / "out")
    assert (tmp_path / "out" / "metrics.jsonl").exists()


def test_results_are_left_alone_on_stdout(base, chat_file, pairs, tmp_path, capfd):
    run(base, chat_file(pairs), tmp_path / "out")
    assert capfd.readouterr().out == ""


def steps_of(output):
    return [point.step for point in read_points(output / "metrics.jsonl") if point.validation_loss is not None]


def test_the_curve_depends_neither_on_the_micro_batch_nor_on_packing(base, chat_file, pairs, tmp_path, monkeypatch):
    train = chat_file([(question, answer * (number % 3 + 1)) for number, (question, answer) in enumerate(pairs)])
    uneven = QUICK.model_copy(update={"batch_size": 6, "micro_batch_size": 6, "reference_weight": 2.0})
    assert not run(base, train, tmp_path / "whole", uneven).plan["packed"]
    run(base, train, tmp_path / "halves", uneven.model_copy(update={"micro_batch_size": 4}))
    # What flash attention does on a GPU is here done by masks.
    monkeypatch.setattr(planning, "has_flash_attention", lambda numbers: True)
    figures = run(base, train, tmp_path / "packed", uneven.model_copy(update={"micro_batch_size": 2}))
    assert figures.plan["packed"]
    assert losses(tmp_path / "halves") == pytest.approx(losses(tmp_path / "whole"), rel=1e-3)
    assert losses(tmp_path / "packed") == pytest.approx(losses(tmp_path / "whole"), rel=1e-3)


def test_names_and_ids_that_weigh_more_are_learnt_before_prose(base, chat_file, tmp_path):
    prose, product = "They go well with it, as most people find.", "(closest product: Baked Beans: id 32717)"
    train = chat_file([("What goes with it?", f"{prose}\n{product}")] * 4)
    config = QUICK.model_copy(update={"epochs": 12})
    even = run(base, train, tmp_path / "even", config)
    weighed = run(base, train, tmp_path / "weighed", config.model_copy(update={"reference_weight": 20.0}))
    found = [reference_loss(base, tmp_path / name / "adapter", train, tmp_path) for name in ("even", "weighed")]
    assert found[1] < found[0]
    assert even.steps == weighed.steps


def reference_loss(base, adapter, train, cache):
    """The loss of the tokens that name a product, nearly alone."""
    tokenizer = load_tokenizer(base)
    examples = load_examples(train, tokenizer, 256, cache, reference_weight=1e6)
    return held_out_losses(
        base, adapter, examples, dtype="float32", batch_size=4, pad_token=tokenizer.pad_token_id
    ).tuned


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [("constant", [1.0, 1.0, 1.0]), ("linear", [1.0, 2 / 3, 1 / 3]), ("cosine", [1.0, 0.75, 0.25])],
)
def test_the_learning_rate_goes_as_it_is_told(base, chat_file, pairs, tmp_path, schedule, rates):
    config = QUICK.model_copy(update={"schedule": schedule, "epochs": 1, "batch_size": 7, "warmup_ratio": 0.0})
    run(base, chat_file(pairs), tmp_path / "out", config)
    found = [point.learning_rate / config.learning_rate for point in read_points(tmp_path / "out" / "metrics.jsonl")]
    assert found == pytest.approx(rates)


def test_the_validation_loss_is_told_every_so_many_steps_and_at_the_end(base, chat_file, pairs, tmp_path):
    config = QUICK.model_copy(update={"evaluate_steps": 4})
    run(base, chat_file(pairs), tmp_path / "out", config, validation=chat_file(pairs[:4], "validation.jsonl"))
    assert steps_of(tmp_path / "out") == [4, 8, 10]


def test_an_epoch_that_is_cut_short_is_validated_at_its_end(base, chat_file, pairs, tmp_path):
    config = QUICK.model_copy(update={"epochs": 1.4, "patience": 3})
    figures = run(base, chat_file(pairs), tmp_path / "out", config, validation=chat_file(pairs[:4], "validation.jsonl"))
    assert (steps_of(tmp_path / "out"), figures.kept_step) == ([5, 7], 7)


IMPATIENT = QUICK.model_copy(
    update={"evaluate_steps": 1, "patience": 2, "epochs": 6, "learning_rate": 0.2, "schedule": "constant"}
)


def test_a_training_that_gets_worse_ends_early_and_keeps_its_best_weights(base, chat_file, pairs, tmp_path):
    train, validation = chat_file(pairs[:12]), chat_file(pairs[12:], "validation.jsonl")
    figures = run(base, train, tmp_path / "out", IMPATIENT, validation=validation)
    best = min(figures.validation_losses)
    assert figures.steps < 18
    assert figures.kept_step == figures.steps - 2 == figures.validation_losses.index(best) + 1
    tokenizer = load_tokenizer(base)
    held_out = load_examples(validation, tokenizer, 128, tmp_path / "cache")
    kept = held_out_losses(
        base, tmp_path / "out" / "adapter", held_out, dtype="float32", batch_size=2, pad_token=tokenizer.pad_token_id
    )
    assert kept.tuned == pytest.approx(best, rel=1e-4)


def test_an_early_end_and_the_best_weights_survive_a_kill(base, chat_file, pairs, tmp_path):
    train, validation = chat_file(pairs[:12]), chat_file(pairs[12:], "validation.jsonl")
    config = IMPATIENT.model_copy(update={"save_steps": 1})
    whole = run(base, train, tmp_path / "whole", config, validation=validation)
    with pytest.raises(KilledError):
        run(base, train, tmp_path / "killed", config, validation=validation, on_step=killer(whole.steps))
    again = run(
        base, train, tmp_path / "again", config, validation=validation, resume=tmp_path / "killed" / "checkpoints"
    )
    assert again.resumed_from_step == whole.steps - 1
    assert (again.steps, again.kept_step) == (whole.steps, whole.kept_step)
    assert again.validation_losses == pytest.approx(whole.validation_losses, rel=1e-4)
    first, second = (
        load_file(tmp_path / name / "adapter" / "adapter_model.safetensors") for name in ("whole", "again")
    )
    assert all(torch.allclose(first[name], second[name], atol=1e-4) for name in first)


def test_qlora_needs_a_cuda_device_and_says_so_before_anything_is_loaded(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    with pytest.raises(InputError, match="qlora needs a CUDA device"):
        run(
            tmp_path / "no-base",
            tmp_path / "no-examples",
            tmp_path / "out",
            QUICK.model_copy(update={"method": "qlora"}),
        )


def test_a_checkpoint_of_another_number_of_processes_can_be_gone_on_from_unless_its_optimizer_was_split(tmp_path):
    for step, stage in ((4, 0), (8, 2)):
        (tmp_path / f"checkpoint-{step}").mkdir()
        complete_checkpoint(tmp_path, step, [write_split(tmp_path, Split(2, stage))])
    check_split(tmp_path / "checkpoint-4", Split(3, 0))
    check_split(tmp_path / "checkpoint-8", Split(2, 2))
    with pytest.raises(InputError, match=r"checkpoint-8 was written by 2 processes with ZeRO stage 2, and 3"):
        check_split(tmp_path / "checkpoint-8", Split(3, 2))


def test_a_disk_that_is_full_ends_the_training_and_keeps_the_checkpoint_before(chat_file, pairs, base, tmp_path):
    told = on_a_small_disk(base, chat_file(pairs), tmp_path / "small", "size=900k")
    assert "RetryableError" in told
    assert "the disk is full; the previous checkpoint is kept" in told
    assert "whole: checkpoint-" in told


ON_A_SMALL_DISK = """
import sys
from pathlib import Path
from skutune.config.schema import FinetuneConfig
from skutune.errors import SkutuneError
from skutune.training.checkpoints import newest_checkpoint
from skutune.training.sft import finetune
base, train, output = map(Path, sys.argv[1:])
config = FinetuneConfig(epochs=4, batch_size=4, max_length=128, save_steps=1, lora_rank=16)
try:
    finetune(base, train, None, config, output, base_name="x", dtype="float32", resume=None, on_step=lambda point: None)
except SkutuneError as error:
    print(type(error).__name__, error)
print("whole:", newest_checkpoint(output / "checkpoints").name)
"""


def on_a_small_disk(base, train, folder, options):
    """What a training tells whose output is on a file system of its own, which goes with the process."""
    folder.mkdir()
    rights = [] if os.geteuid() == 0 else ["--map-root-user"]
    isolated = ["unshare", *rights, "--mount", "sh", "-c"]
    mount = f'mount -t tmpfs -o {options} tmpfs "$0"'
    if subprocess.run([*isolated, mount, str(folder)], capture_output=True).returncode:
        pytest.skip("a small file system of one's own needs root or user namespaces, and this kernel allows neither")
    command = [sys.executable, "-c", ON_A_SMALL_DISK, str(base), str(train), str(folder)]
    done = subprocess.run([*isolated, f'{mount} && exec "$@"', str(folder), *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
