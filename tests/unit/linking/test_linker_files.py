"""A linker as files: it links the same, holds nothing that runs, and is refused where it is not what it should be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from linking_parts import JUDGE, product, unfitted
from safetensors import safe_open

from skutune.config.schema import LinkConfig
from skutune.engines.scripted.encoder import ScriptedEncoder
from skutune.errors import InputError
from skutune.linking import Linker, load_linker, save_linker
from skutune.linking.fit import build_linker
from skutune.linking.index.nearest import COMPONENTS, SMALL
from skutune.linking.vectors.classifier import unit
from skutune.linking.vectors.cosine_scale import CosineScale
from skutune.linking.vectors.projection import Projection

CATALOG = [
    product("1", "Baked Beans", aisle="canned"),
    product("2", "Beans, Green", aisle="produce"),
    product("3", "Nut-Free Crackers", aisle="snacks"),
    product("4", "Crackers", aisle="snacks"),
    product("5", "crackers", aisle="snacks"),
    product("6", "牛奶", aisle="produce"),
    product("7", "!!!", aisle="produce"),
    product("8", "Cole Slaw", aisle="canned"),
    product("9", "2% Milk", aisle="produce"),
]
NAMES = [
    "baked bean",
    "green beans",
    "nut-free crackers",
    "cracker",
    "coleslaw",
    "牛奶",
    "spaceship",
    "",
    "!!!",
    "vegan tea",
    "1% milk",
    "2 percent milk",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_linker(unfitted(CATALOG), tmp_path / "run" / "linker")
    return tmp_path / "run" / "linker"


def ranked(linker: Linker, names: list[str], vectors: np.ndarray) -> list[list[tuple[str, int]]]:
    return [
        [
            (linker.ids[place], literal)
            for place, literal in zip(each.products.tolist(), each.literal.tolist(), strict=True)
        ]
        for each in linker.rank(names, vectors)
    ]


def test_a_saved_linker_links_the_same(folder: Path) -> None:
    linker, loaded, vectors = unfitted(CATALOG), load_linker(folder), ScriptedEncoder().encode(NAMES)
    assert (loaded.ids, loaded.names, loaded.calibration) == (linker.ids, linker.names, JUDGE)
    for before, after in zip(
        linker.link(NAMES, vectors, LinkConfig()), loaded.link(NAMES, vectors, LinkConfig()), strict=True
    ):
        assert [candidate.id for candidate in before.candidates] == [candidate.id for candidate in after.candidates]
        assert before.best_p == pytest.approx(after.best_p, abs=0.005)
    for one, other in zip(linker.rank(NAMES, vectors), loaded.rank(NAMES, vectors), strict=True):
        assert sorted(one.products.tolist()) == sorted(other.products.tolist())


def test_saving_what_was_loaded_changes_nothing_more(folder: Path, tmp_path: Path) -> None:
    save_linker(load_linker(folder), tmp_path / "again")
    for name in ("linker.json", "linker.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_a_projection_and_a_reduced_search_are_kept(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    count, dimension = SMALL + 50, COMPONENTS
    vectors = unit(generator.normal(size=(count, dimension)).astype(np.float32))
    weight = generator.normal(size=(dimension, dimension)).astype(np.float32)
    catalog = [product(str(at), f"thing number{at}") for at in range(count)]
    ruler = CosineScale.measure(ScriptedEncoder(), Projection(None))
    linker = build_linker(catalog, vectors, vectors, np.arange(count), Projection(weight), ruler, JUDGE)
    assert linker.evidence.nearest.basis is not None
    save_linker(linker, tmp_path)
    loaded, asked = load_linker(tmp_path), ["nothing"] * 20
    assert loaded.evidence.projection.weight is not None
    assert loaded.evidence.nearest.basis is not None
    assert np.array_equal(loaded.evidence.projection.weight, weight)
    assert np.array_equal(loaded.evidence.nearest.basis, linker.evidence.nearest.basis)
    best, same = ([each[0][0] for each in ranked(one, asked, vectors[:20])] for one in (linker, loaded))
    assert best == same == [str(at) for at in range(20)]


def test_the_files_are_numbers_and_text_and_nothing_that_runs(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["linker.json", "linker.safetensors"]
    json.loads((folder / "linker.json").read_text(encoding="utf-8"))
    with safe_open(folder / "linker.safetensors", "numpy") as file:
        assert {"names", "prototypes"} <= set(file.keys())
        assert all(file.get_tensor(name).dtype.kind in "iufb" for name in file.keys())  # noqa: SIM118


def test_names_are_kept_as_people_can_read_them(folder: Path) -> None:
    assert "牛奶" in (folder / "linker.json").read_text(encoding="utf-8")


def test_a_folder_without_a_linker_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"{tmp_path}.*classify"):
        load_linker(tmp_path)
    with pytest.raises(InputError, match="classify"):
        load_linker(tmp_path / "nowhere")


def test_a_linker_that_lost_its_arrays_is_refused(folder: Path) -> None:
    (folder / "linker.safetensors").unlink()
    with pytest.raises(InputError, match="classify"):
        load_linker(folder)


@pytest.mark.parametrize("version", [None, 0, 1, 99, "2"])
def test_a_linker_of_another_version_is_refused(folder: Path, version: object) -> None:
    document = json.loads((folder / "linker.json").read_text(encoding="utf-8"))
    document["format"] = version
    (folder / "linker.json").write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(InputError, match="another version of skutune"):
        load_linker(folder)


def test_a_calibration_of_other_features_is_refused(folder: Path) -> None:
    document = json.loads((folder / "linker.json").read_text(encoding="utf-8"))
    document["calibration"]["features"][0] = "something_else"
    (folder / "linker.json").write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(InputError, match="another version of skutune"):
        load_linker(folder)
