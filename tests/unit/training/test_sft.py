"""Fine-tuning learns, can be killed and gone on with, and says what is wrong with its input."""

import json

import pytest
import torch
from byte_model import save_base
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from skutune.config import FinetuneConfig
from skutune.errors import InputError, SkutuneError
from skutune.training.curves import read_points
from skutune.training.examples import load_examples
from skutune.training.loss import held_out_losses
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
    assert AutoTokenizer.from_pretrained(adapter).chat_template


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
    with pytest.raises(InputError, match="nothing to train on"):
        run(base, chat_file([]), tmp_path / "out")


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_curves(chat_file, pairs, tmp_path):
    broken = save_base(tmp_path / "broken")
    model = AutoModelForCausalLM.from_pretrained(broken)
    model.lm_head.weight.data[5] = float("nan")
    model.save_pretrained(broken)
    with pytest.raises(SkutuneError, match=r"loss of step 1 is nan.*learning_rate"):
        run(broken, chat_file(pairs), tmp_path / "out")
    assert (tmp_path / "out" / "metrics.jsonl").exists()


def test_results_are_left_alone_on_stdout(base, chat_file, pairs, tmp_path, capfd):
    run(base, chat_file(pairs), tmp_path / "out")
    assert capfd.readouterr().out == ""
