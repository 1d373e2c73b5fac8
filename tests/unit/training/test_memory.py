"""ZeRO and a second computation of activations are chosen where memory asks for them, and not before."""

import pytest

from skutune.training.memory import Fit, Shape, fit, shape_of

# Llama-2-7B, Llama-3.1-8B and Llama-2-70B, with adapters of rank 16.
SEVEN = Shape(6_738_000_000, 40_000_000, 32, 4096, 11008, 32000)
EIGHT = Shape(8_030_000_000, 42_000_000, 32, 4096, 14336, 128256)
SEVENTY = Shape(68_977_000_000, 207_000_000, 80, 8192, 28672, 32000)
GIB = 1024**3


@pytest.mark.parametrize(
    ("shape", "method", "tokens", "processes", "gib", "expected"),
    [
        (SEVEN, "lora", 4096, 1, 80, Fit(0, False)),
        (SEVEN, "lora", 8192, 8, 141, Fit(0, False)),
        (SEVEN, "lora", 16384, 8, 80, Fit(0, True)),
        (SEVEN, "lora", 4096, 1, 24, Fit(0, True)),
        (SEVEN, "qlora", 4096, 1, 24, Fit(0, True)),
        (SEVEN, "qlora", 1024, 1, 24, Fit(0, False)),
        (SEVENTY, "lora", 4096, 8, 80, Fit(3, True)),
        (SEVENTY, "qlora", 4096, 8, 80, Fit(0, True)),
        (SEVEN, "full", 4096, 8, 80, Fit(2, False)),
        (EIGHT, "full", 8192, 8, 80, Fit(2, True)),
        (SEVENTY, "full", 1024, 8, 141, Fit(3, True)),
        (SEVEN, "full", 1024, 1, 141, Fit(0, False)),
        (SEVENTY, "full", 1024, 1, 80, Fit(0, True)),  # fits nowhere: the most saving way is tried
    ],
)
def test_the_fastest_way_that_fits_is_taken(shape, method, tokens, processes, gib, expected):
    found = fit(
        shape, method, tokens=tokens, number_bytes=2, processes=processes, device_bytes=gib * GIB, has_zero=True
    )
    assert found == expected


def test_without_deepspeed_nothing_is_shared():
    found = fit(SEVEN, "full", tokens=1024, number_bytes=2, processes=8, device_bytes=80 * GIB, has_zero=False)
    assert found == Fit(0, True)


def test_a_models_shape_is_read_from_its_config(base):
    shape = shape_of(base, lora_rank=4)
    assert (shape.layers, shape.hidden, shape.intermediate, shape.vocabulary) == (2, 48, 96, 258)
    # Queries and outputs 48×48, keys and values 48×24, three of the MLP 48×96; two embeddings; five norms.
    linear = 2 * (2 * 48 * 48 + 2 * 48 * 24 + 3 * 48 * 96)
    assert shape.parameters == linear + 2 * 258 * 48 + 5 * 48
    assert shape.adapter == 2 * 4 * (2 * 96 + 2 * 72 + 3 * 144)
