"""ZeRO and a second computation of activations are chosen where memory asks for them, and not before."""

import pytest

from skutune.training.memory import Fit, Shape, fit, needed, shape_of

# Llama-2-7B, Llama-3.1-8B and Llama-2-70B, with adapters of rank 16.
SEVEN = Shape(6_738_000_000, 40_000_000, 32, 4096, 11008, 32000)
EIGHT = Shape(8_030_000_000, 42_000_000, 32, 4096, 14336, 128256)
SEVENTY = Shape(68_977_000_000, 207_000_000, 80, 8192, 28672, 32000)
GIB = 1024**3


@pytest.mark.parametrize(
    ("shape", "method", "rows", "processes", "gib", "expected"),
    [
        (SEVEN, "lora", 4, 1, 80, Fit(4, 0, False)),
        (SEVEN, "lora", 8, 8, 141, Fit(8, 0, False)),
        (SEVEN, "lora", 16, 8, 80, Fit(8, 0, False)),
        (SEVEN, "lora", 4, 1, 24, Fit(4, 0, True)),
        (SEVEN, "qlora", 4, 1, 24, Fit(2, 0, False)),
        (SEVEN, "qlora", 1, 1, 24, Fit(1, 0, False)),
        (SEVENTY, "lora", 4, 8, 80, Fit(4, 3, True)),
        (SEVENTY, "qlora", 4, 8, 80, Fit(4, 0, True)),
        (SEVEN, "full", 4, 8, 80, Fit(4, 2, False)),
        (EIGHT, "full", 8, 8, 80, Fit(4, 2, False)),
        (SEVENTY, "full", 1, 8, 141, Fit(1, 3, True)),
        (SEVEN, "full", 1, 1, 141, Fit(1, 0, False)),
        (SEVENTY, "full", 1, 1, 80, Fit(1, 0, True)),  # fits nowhere: the most saving way is tried
    ],
)
def test_the_fastest_way_that_fits_is_taken(shape, method, rows, processes, gib, expected):
    assert found(shape, method, rows, processes, gib) == expected


def test_without_deepspeed_nothing_is_shared():
    assert found(SEVEN, "full", 1, 8, 80, has_zero=False) == Fit(1, 0, True)


def test_activations_are_computed_twice_where_an_earlier_start_found_that_they_must():
    assert found(SEVEN, "lora", 4, 1, 80, checkpointing=True) == Fit(4, 0, True)


def test_what_layers_hand_on_in_32_bits_is_counted_as_such():
    once = fits_in(Fit(8, 0, True)) - fits_in(Fit(0, 0, True))
    assert once > 8 * 1024 * 32 * 4096 * 4
    split = fits_in(Fit(8, 2, True)) - fits_in(Fit(0, 2, True))
    assert split == pytest.approx(once - 8 * 1024 * 2 * (32 + 2) * 4096)


def fits_in(way):
    return needed(SEVEN, "full", way, 1024, 2, 1)


def found(shape, method, rows, processes, gib, **more):
    options = {"has_zero": True, **more}
    return fit(
        shape, method, rows=rows, length=1024, number_bytes=2, processes=processes, device_bytes=gib * GIB, **options
    )


def test_a_models_shape_is_read_from_its_config(base):
    shape = shape_of(base, lora_rank=4)
    assert (shape.layers, shape.hidden, shape.intermediate, shape.vocabulary) == (2, 48, 96, 258)
    # Queries and outputs 48×48, keys and values 48×24, three of the MLP 48×96; two embeddings; five norms.
    linear = 2 * (2 * 48 * 48 + 2 * 48 * 24 + 3 * 48 * 96)
    assert shape.parameters == linear + 2 * 258 * 48 + 5 * 48
    assert shape.adapter == 2 * 4 * (2 * 96 + 2 * 72 + 3 * 144)
