"""The order of examples is shuffled by epoch, repeatable, and sorted only inside a step."""

from skutune.training.order import StepOrder

LENGTHS = [(number * 7919) % 101 for number in range(50)]


def order(epoch, seed=0):
    sampler = StepOrder(LENGTHS, 8, seed)
    sampler.set_epoch(epoch)
    return list(sampler)


def test_every_example_comes_once_an_epoch():
    assert sorted(order(3)) == list(range(50))


def test_the_order_depends_on_seed_and_epoch_alone():
    assert order(1) == order(1)
    assert order(1) != order(2)
    assert order(1, seed=0) != order(1, seed=1)


def test_a_step_holds_examples_of_falling_length():
    steps = [order(0)[start : start + 8] for start in range(0, 50, 8)]
    assert all([LENGTHS[i] for i in step] == sorted((LENGTHS[i] for i in step), reverse=True) for step in steps)


def test_an_epoch_is_not_sorted_as_a_whole():
    longest = [LENGTHS[order(0)[start]] for start in range(0, 50, 8)]
    assert longest != sorted(longest, reverse=True)
