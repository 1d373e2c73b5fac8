"""The loss of a batch does not depend on how its examples lie in it, and weighs tokens as it is told."""

import pytest
import torch
from transformers import AutoModelForCausalLM
from trl.trainer.utils import add_fused_lm_head

from skutune.training.collate import Collate
from skutune.training.loss import mean_loss, summed_loss
from skutune.training.tokens import IGNORED


@pytest.fixture
def model(base):
    return AutoModelForCausalLM.from_pretrained(base).eval()


def example(*ids, prompt=2, weights=None):
    labels = [IGNORED] * prompt + list(ids)[prompt:]
    found = {"input_ids": list(ids), "labels": labels}
    return found if weights is None else {**found, "loss_weights": weights}


ROWS = [example(*range(10, 30)), example(*range(40, 47)), example(*range(60, 73), prompt=5)]


def test_packed_examples_do_not_see_each_other(model):
    packed = summed_loss(model, Collate(0, packed=True)(ROWS))
    apart = sum(summed_loss(model, Collate(0)([row])) for row in ROWS)
    assert packed.item() == pytest.approx(apart.item(), rel=1e-5)


def test_padding_carries_no_loss(model):
    together = summed_loss(model, Collate(0)(ROWS))
    apart = sum(summed_loss(model, Collate(0)([row])) for row in ROWS)
    assert together.item() == pytest.approx(apart.item(), rel=1e-5)


def test_the_head_for_gpus_gives_the_same_loss_and_gradient(base):
    found = []
    weighted = [example(*range(10, 30), weights=[0.0] * 2 + [1.0] * 9 + [3.0] * 9), ROWS[1]]
    for fused in (False, True):
        model = AutoModelForCausalLM.from_pretrained(base)
        add_fused_lm_head(model)
        loss = summed_loss(model, Collate(0)(weighted), fused=fused)
        loss.backward()
        found.append((loss.item(), model.model.layers[0].mlp.up_proj.weight.grad))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    assert torch.allclose(found[0][1], found[1][1], rtol=1e-3, atol=1e-5)


def test_a_token_of_weight_three_counts_three_times(model):
    once, thrice = (
        summed_loss(model, Collate(0)([example(5, 6, 7, 8, weights=[0.0, 0.0, 0.0, weight])])) for weight in (1.0, 3.0)
    )
    assert thrice.item() == pytest.approx(3 * once.item(), rel=1e-6)


def test_no_examples_train_nothing(model):
    for packed in (False, True):
        loss = summed_loss(model, Collate(0, packed=packed)([]))
        loss.backward()
        assert loss.item() == 0
    assert all(not weight.grad.any() for weight in model.parameters())


def test_the_mean_loss_does_not_depend_on_the_batch_size(model):
    assert mean_loss(model, Rows(ROWS), Collate(0), 1) == pytest.approx(mean_loss(model, Rows(ROWS), Collate(0), 3))


class Rows(list):
    """A list of examples that also gives a column, as a data set does."""

    def __getitem__(self, key):
        return [row[key] for row in self] if isinstance(key, str) else super().__getitem__(key)
