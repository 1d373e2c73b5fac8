"""The order of examples is shuffled by epoch, repeatable, and the same on any number of processes."""

from skutune.training.collate import Collate
from skutune.training.step_sampler import StepLoader, StepOrder

LENGTHS = [(number * 7919) % 101 + 1 for number in range(50)]


def order(epoch, seed=0, **more):
    sampler = StepOrder(LENGTHS, 8, seed, **{"rows": 8, **more})
    sampler.set_epoch(epoch)
    return sampler


def examples(steps):
    return [sorted(index for batch in step for index in batch) for step in steps]


def test_every_example_comes_once_an_epoch():
    steps = list(order(3))
    assert sorted(index for step in examples(steps) for index in step) == list(range(50))
    assert len(steps) == len(order(3)) == 7


def test_the_order_depends_on_seed_and_epoch_alone():
    assert list(order(1)) == list(order(1))
    assert list(order(1)) != list(order(2))
    assert list(order(1, seed=0)) != list(order(1, seed=1))


def test_a_step_holds_the_same_examples_on_one_two_and_eight_processes():
    alone = examples(order(0))
    for processes in (2, 8):
        shares = [list(order(0, rank=rank, processes=processes, rows=2)) for rank in range(processes)]
        together = [[batch for share in step for batch in share] for step in zip(*shares, strict=True)]
        assert examples(together) == alone
    assert examples(order(0, max_tokens=150)) == alone


def test_an_epoch_is_not_sorted_as_a_whole():
    longest = [LENGTHS[step[0][0]] for step in order(0)]
    assert longest != sorted(longest, reverse=True)


def test_the_loader_gives_a_step_as_batches_of_its_examples():
    rows = [{"input_ids": [5] * length, "labels": [5] * length} for length in LENGTHS]
    loader = StepLoader(rows, order(0, rows=3), Collate(pad_token=0), pin_memory=False)
    loader.set_epoch(1)
    assert [[batch["attention_mask"].sum().item() for batch in step] for step in loader] == [
        [sum(LENGTHS[index] for index in batch) for batch in step] for step in order(1, rows=3)
    ]
