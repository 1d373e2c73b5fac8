"""The operations of a training are counted exactly, and compared with nothing where the device is not known."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, LlamaConfig, LlamaForCausalLM

from skutune.training.flops import TrainingFlops, peak_flops, training_flops, utilisation

LENGTH, ROWS, RANK = 24, 3, 4
SIZES = LlamaConfig(
    vocab_size=96, hidden_size=32, intermediate_size=80, num_hidden_layers=3, num_attention_heads=4,
    num_key_value_heads=2, head_dim=16, attn_implementation="eager",
)  # fmt: skip


def counted(model, parameters_before_first):
    """What PyTorch counts, in which every token attends to all, and every token is taught."""
    ids = torch.zeros(ROWS, LENGTH, dtype=torch.long)
    with FlopCounterMode(display=False) as counter:
        model(inputs_embeds=parameters_before_first(ids), labels=ids).loss.backward()
    return counter.get_total_flops()


def of_whole_square(flops):
    tokens = ROWS * LENGTH
    return flops.token * tokens + flops.taught * tokens + flops.pair * tokens * LENGTH


def test_all_operations_of_training_whole_weights_are_counted():
    model = LlamaForCausalLM(SIZES)
    found = counted(model, model.get_input_embeddings())
    assert of_whole_square(training_flops(SIZES, None)) == pytest.approx(found, rel=1e-3)


def test_frozen_weights_need_no_gradient_of_their_own_but_adapters_do():
    model = LlamaForCausalLM(SIZES)
    embed = model.get_input_embeddings()
    tuned = get_peft_model(model, LoraConfig(r=RANK, target_modules="all-linear", task_type="CAUSAL_LM"))
    found = counted(tuned, lambda ids: embed(ids).requires_grad_())
    assert of_whole_square(training_flops(SIZES, RANK)) == pytest.approx(found, rel=1e-3)


def test_seven_billion_weights_need_about_six_operations_each_a_token():
    llama2 = LlamaConfig()  # its defaults are Llama-2-7B's
    whole, adapted = training_flops(llama2, None), training_flops(llama2, 16)
    weights = 6.607e9
    assert (whole.token + whole.taught) / weights == pytest.approx(6.0, rel=1e-3)
    assert (adapted.token + adapted.taught) / weights == pytest.approx(4.0, rel=0.02)


def test_a_token_attends_to_itself_and_those_before_it():
    assert TrainingFlops(token=0, taught=0, pair=1).of([1, 2, 3], taught=0) == 1 + 3 + 6


def test_only_taught_tokens_need_the_output_layer():
    assert TrainingFlops(token=1, taught=100, pair=0).of([10, 10], taught=3) == 20 + 300


def test_a_model_of_another_make_is_not_guessed_at():
    assert training_flops(AutoConfig.for_model("gpt2"), None) is None


@pytest.mark.parametrize(
    ("name", "tera"),
    [
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA H100 NVL", 835),
        ("NVIDIA H200", 989),
        ("NVIDIA A10", 125),
        ("NVIDIA A10G", 70),
        ("NVIDIA L4", 121),
        ("NVIDIA L40S", 362),
    ],
)
def test_the_peak_of_a_device_is_known_by_its_name(name, tera):
    assert peak_flops(name) == tera * 1e12


@pytest.mark.parametrize("name", ["cpu", "Tesla V100-SXM2-16GB", "NVIDIA A100-SXM4-80GB MIG 3g.40gb", "NVIDIA X9000"])
def test_a_device_that_is_not_known_has_no_peak(name):
    assert peak_flops(name) is None
    assert utilisation(1e12, 1.0, name, 1) is None


def test_utilisation_is_the_share_of_all_devices_peak():
    assert utilisation(312e12, 1.0, "NVIDIA A100-SXM4-80GB", 2) == pytest.approx(0.5)
    assert utilisation(None, 1.0, "NVIDIA A100-SXM4-80GB", 2) is None
