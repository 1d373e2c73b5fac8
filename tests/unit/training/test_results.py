"""What comes with tuned weights: which base they need, a card, curves for TensorBoard, a merged copy."""

import re
import struct
from dataclasses import replace

import pytest
import torch
import yaml
from byte_model import byte_tokenizer, save_base
from peft import LoraConfig, get_peft_model
from tensorboardX.proto.event_pb2 import Event
from transformers import AutoModelForCausalLM, AutoTokenizer

from skutune.config.schema import FinetuneConfig
from skutune.errors import InputError
from skutune.serving.answer_model import AnswerModel
from skutune.training.adapters import check_base, note_base
from skutune.training.merge import merge
from skutune.training.metrics import FinetuneMetrics
from skutune.training.metrics_callback import StepMetrics
from skutune.training.model_card import Provenance, render_card
from skutune.training.models import load_tuned
from skutune.training.tensorboard import write_events

FIGURES = FinetuneMetrics(
    model="adapter", method="lora", dtype="bfloat16", examples=1234, cut=5, left_out=2, steps=77, kept_step=77,
    epochs=1.0, tokens=98765, seconds=12.0, tokens_per_second=8230.4, device="NVIDIA H100 80GB HBM3", utilisation=0.512,
    trainable_parameters=4321, first_loss=2.5, last_loss=0.5, validation_examples=64, validation_losses=[0.9, 0.7, 0.8],
    resumed_from_step=None, plan={"processes": 8, "max_length": 512},
)  # fmt: skip
PROVENANCE = Provenance(
    "fall-catalog",
    "shop/base",
    "shop/base@0123",
    "shop/writer",
    {"products": 49688, "examples, train, answer": 9},
    "1.2",
)


@pytest.fixture
def adapter(base, tmp_path):
    """An adapter that changes what its base says."""
    torch.manual_seed(1)
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base),
        LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False),
    )
    model.save_pretrained(tmp_path / "adapter")
    byte_tokenizer().save_pretrained(tmp_path / "adapter")
    note_base(tmp_path / "adapter", base, "shop/base")
    return tmp_path / "adapter"


def another_base(folder):
    """Another model of exactly the same shapes."""
    model = AutoModelForCausalLM.from_pretrained(save_base(folder))
    for weight in model.parameters():
        weight.data += 0.01
    model.save_pretrained(folder)
    return folder


def test_an_adapter_is_taken_with_its_own_base_wherever_that_lies(adapter, tmp_path):
    check_base(adapter, save_base(tmp_path / "elsewhere"))


def test_an_adapter_of_another_base_of_the_same_shapes_is_refused_with_both_names(adapter, tmp_path):
    other = another_base(tmp_path / "other")
    refusal = r"was trained on shop/base, but the base model .*other has other weights"
    with pytest.raises(InputError, match=refusal):
        load_tuned(other, adapter, torch.float32)
    with pytest.raises(InputError, match=refusal):
        AnswerModel.load(other, adapter, [("1", "Beans")], dtype="float32")


def test_an_adapter_of_another_program_is_judged_by_its_shapes(adapter, base, tmp_path):
    (adapter / "base.json").unlink()
    check_base(adapter, another_base(tmp_path / "other"))
    smaller = save_base(tmp_path / "smaller", hidden_size=32)
    with pytest.raises(InputError, match="does not fit base model"):
        load_tuned(smaller, adapter, torch.float32)


def test_a_folder_that_is_no_adapter_is_named(base):
    with pytest.raises(InputError, match=r"has no adapter_config\.json"):
        check_base(base, base)


def test_a_merged_model_says_what_base_and_adapter_say_together(adapter, base, tmp_path):
    merge(base, adapter, tmp_path / "merged", "float32")
    ids = torch.arange(40).reshape(1, -1)
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    tuned = load_tuned(base, adapter, torch.float32)
    torch.testing.assert_close(merged(ids).logits, tuned(ids).logits, rtol=1e-4, atol=1e-4)
    with tuned.disable_adapter():
        assert not torch.allclose(merged(ids).logits, tuned(ids).logits, atol=0.1)
    assert AutoTokenizer.from_pretrained(tmp_path / "merged").chat_template


def test_an_adapter_that_is_no_number_is_not_merged(adapter, base, tmp_path):
    tuned = load_tuned(base, adapter, torch.float32)
    next(weight for name, weight in tuned.named_parameters() if "lora_A" in name).data[0, 0] = float("nan")
    tuned.save_pretrained(adapter)
    with pytest.raises(InputError, match="cannot be merged"):
        merge(base, adapter, tmp_path / "merged", "float32")


def points():
    for step in (1, 2):
        yield StepMetrics(step, step / 2, 2.0 / step, 0.1, 100 * step, 50.0, 2.0 * step)
    yield StepMetrics(2, 1.0, None, None, 200, 0.0, 4.0, validation_loss=1.5)


def events(file):
    """The scalars of an event file, read by the record format's definition: length, checksum, data, checksum."""
    data = file.read_bytes()
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        event = Event.FromString(data[12 : 12 + length])
        yield from ((value.tag, event.step, value.simple_value) for value in event.summary.value)
        data = data[16 + length :]


def test_event_files_hold_the_curves(tmp_path):
    write_events(list(points()), tmp_path / "tensorboard")
    (file,) = (tmp_path / "tensorboard").iterdir()
    assert "tfevents" in file.name
    found = list(events(file))
    assert [(step, value) for tag, step, value in found if tag == "train/loss"] == [(1, 2.0), (2, 1.0)]
    assert [(step, value) for tag, step, value in found if tag == "validation/loss"] == [(2, 1.5)]
    assert [step for tag, step, _ in found if tag == "train/tokens_per_second"] == [1, 2]


def test_the_card_has_data_settings_figures_and_the_base_with_its_revision():
    card = render_card(PROVENANCE, FinetuneConfig(lora_rank=24), FIGURES, is_adapter=True)
    header = yaml.safe_load(card.split("---")[1])
    assert (header["base_model"], header["library_name"]) == ("shop/base", "peft")
    for expected in (
        "shop/base@0123", "shop/writer", "| products | 49,688 |", "| trained examples | 1,234 |", "| lora_rank | 24 |",
        "| learning_rate | 0.0002 |", "2.500 → 0.500", "0.900 → 0.700", "| tokens per second | 8,230 |",
        "8 × NVIDIA H100 80GB HBM3", "51.2 %", "--max-lora-rank 32 --lora-modules fall-catalog=. \\\n", "PeftModel",
    ):  # fmt: skip
        assert expected in card
    assert "\n\n\n" not in card.partition("## Data")[0]


def test_tables_of_the_card_are_not_torn_apart():
    card = render_card(PROVENANCE, FinetuneConfig(), FIGURES, is_adapter=True)
    assert not re.search(r"\|\n\n\|(?! figure)", card)


def test_the_card_of_whole_weights_speaks_of_no_adapter():
    whole = FinetuneConfig(method="full")
    card = render_card(PROVENANCE, whole, FIGURES, is_adapter=False)
    assert "vllm serve ." in card
    assert "lora" not in card.lower()


def test_what_is_not_known_of_a_device_is_not_guessed():
    card = render_card(PROVENANCE, FinetuneConfig(), replace(FIGURES, utilisation=None), is_adapter=True)
    assert "| unknown |" in card
