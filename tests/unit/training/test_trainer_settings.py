"""What TRL's trainer does of its own accord, and must not: several devices a process, 16 bits, old checkpoints."""

import pytest
import torch
from transformers import Trainer, TrainingArguments
from trl import SFTConfig

from skutune.config.schema import FinetuneConfig
from skutune.training import sft, trainer
from skutune.training.loss import summed_loss
from skutune.training.models import trainable_model
from skutune.training.sft import finetune

QUICK = FinetuneConfig(epochs=1, learning_rate=1e-4, batch_size=4, micro_batch_size=4, max_length=128, save_steps=1)


def run(base, train, output, **more):
    return finetune(
        base, train, None, QUICK.model_copy(update=more), output,
        base_name="shop/tiny", dtype="float32", resume=None, on_step=lambda point: None,
    )  # fmt: skip


def test_one_process_trains_on_one_device_where_the_machine_has_several(base, chat_file, pairs, tmp_path, monkeypatch):
    made = SFTConfig.__post_init__

    def on_two_devices(arguments):
        made(arguments)
        arguments._n_gpu = 2

    monkeypatch.setattr(SFTConfig, "__post_init__", on_two_devices)
    assert run(base, chat_file(pairs), tmp_path / "out").steps == 5


@pytest.mark.parametrize("is_first", [True, False])
def test_each_process_keeps_its_two_last_checkpoints(base, chat_file, pairs, tmp_path, monkeypatch, is_first):
    monkeypatch.setattr(TrainingArguments, "should_save", property(lambda arguments: is_first))
    run(base, chat_file(pairs), tmp_path / "out")
    kept = {path.name for path in (tmp_path / "out" / "checkpoints").iterdir()}
    assert kept == {"checkpoint-4", "checkpoint-5"}


def test_weights_of_the_loss_are_as_exact_as_their_sum(base, chat_file, tmp_path, monkeypatch):
    """With DeepSpeed the trainer casts what is no integer to the model's 16 bits, as is done here."""
    seen = set()

    def compute(model, inputs, **options):
        seen.update(inputs["loss_weights"].unique().tolist())
        return summed_loss(model, inputs, **options)

    def cast(trainer, data):
        if isinstance(data, dict):
            return {name: cast(trainer, value) for name, value in data.items()}
        return data.to(torch.bfloat16) if torch.is_floating_point(data) else data

    monkeypatch.setattr(Trainer, "_prepare_input", cast)
    monkeypatch.setattr(trainer, "summed_loss", compute)
    train = chat_file([("What goes with it?", "Try this.\n(closest product: Baked Beans: id 32717)")] * 2)
    run(base, train, tmp_path / "out", reference_weight=1.003)
    assert 1.003 in {round(weight, 6) for weight in seen}


def test_an_adapter_on_weights_of_4_bits_is_trained_in_32(base, chat_file, pairs, tmp_path, monkeypatch):
    """Weights of 4 bits need CUDA; what TRL does to a model that says it had some does not."""

    def quantized(folder, config, dtype, **options):
        model = trainable_model(folder, config.model_copy(update={"method": "lora"}), dtype, **options)
        model.base_model.model.is_loaded_in_4bit = True
        return model

    seen = set()

    def compute(model, inputs, **options):
        seen.update(weight.dtype for weight in model.parameters() if weight.requires_grad)
        return summed_loss(model, inputs, **options)

    monkeypatch.setattr(sft, "check_method", lambda config: None)
    monkeypatch.setattr(sft, "trainable_model", quantized)
    monkeypatch.setattr(trainer, "summed_loss", compute)
    run(base, chat_file(pairs), tmp_path / "out", method="qlora")
    assert seen == {torch.float32}
