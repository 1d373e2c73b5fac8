"""Parquet parts, and the manifests that list them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skutune.config.load import parse_config
from skutune.errors import InputError, SkutuneError
from skutune.pipeline import graph, manifests, tables
from skutune.pipeline.manifests import Manifest, Stats, Task
from skutune.pipeline.stage_folder import StageFolder
from skutune.records import Candidate, Description, Embedding, Link, Product
from skutune.store import open_store

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
PRODUCTS = st.lists(st.builds(Product, TEXT, TEXT, st.dictionaries(TEXT, TEXT, max_size=3), TEXT), max_size=20)


@given(PRODUCTS)
def test_rows_round_trip_and_equal_rows_give_equal_bytes(products: list[Product]) -> None:
    data = tables.encode(Product, products)
    assert list(tables.decode(Product, data)) == products
    assert tables.encode(Product, products) == data


def test_vectors_and_nested_rows_round_trip() -> None:
    links = [Link("a", "A", [Candidate("1", "x", 0.5)], 0.5, [], "k"), Link("b", "B", [], 0.1, [], "k")]
    assert list(tables.decode(Link, tables.encode(Link, links))) == links
    vectors = [Embedding("1", "name", 0, np.arange(4, dtype=np.float32), "k")]
    (decoded,) = tables.decode(Embedding, tables.encode(Embedding, vectors))
    assert decoded.vector.dtype == np.float32
    assert decoded.vector.tolist() == [0, 1, 2, 3]
    assert list(tables.decode(Embedding, tables.encode(Embedding, []))) == []


def test_a_partitioner_keeps_every_row_once_and_in_order() -> None:
    partitioner = tables.Partitioner(Product)
    for number in range(10_000):
        partitioner.add(Product(str(number), "x", {}, ""), number)
    parts = dict(partitioner.parts(7))
    assert sum(table.num_rows for table in parts.values()) == 10_000
    for part, table in parts.items():
        assert table.column("id").to_pylist() == [str(number) for number in range(part, 10_000, 7)]


def test_reading_a_modified_object_is_an_error(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    entry = tables.write_part(store, "run/describe/f", Product, 3, [Product("1", "x", {}, "")])
    assert entry.name.startswith("part-00003-")
    store.put(f"run/describe/f/{entry.name}", b"other")
    with pytest.raises(SkutuneError, match="digest does not match the manifest"):
        list(tables.read_part(store, "run/describe/f", Product, entry))


def _description(product_id: str, key: str, text: str = "t") -> Description:
    return Description(product_id, text, "stop", 1, None, key)


def test_rows_are_reused_by_key_and_the_first_output_takes_precedence(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    folders = []
    for name, rows in (
        ("new", [_description("1", "a", "new")]),
        ("old", [_description("1", "a", "old"), _description("2", "b")]),
    ):
        entry = tables.write_part(store, name, Description, 0, rows)
        folders.append((name, Manifest("describe", name, 1, (entry,))))
    rows_by_key = tables.rows_by_key(store, folders, Description, 0, ["a", "b", "c"])
    assert {key: [row.text for row in rows] for key, rows in rows_by_key.items()} == {"a": ["new"], "b": ["t"]}
    assert list(tables.rows_by_key(store, folders, Description, 0, ["b"])) == ["b"]


def test_a_corrupt_earlier_output_is_skipped(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    entry = tables.write_part(store, "old", Description, 0, [_description("1", "a")])
    store.put(f"old/{entry.name}", b"corrupt")
    assert tables.rows_by_key(store, [("old", Manifest("describe", "f", 1, (entry,)))], Description, 0, ["a"]) == {}


def test_missing_objects_and_objects_of_another_size_do_not_count(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    entries = tuple(tables.write_part(store, "f", Product, part, []) for part in range(3))
    manifest = Manifest("describe", "f", 3, entries)
    manifests.write_manifest(store, "f", manifest)
    assert StageFolder.read(store, "f").manifest == manifest
    store.put(f"f/{entries[1].name}", b"short")
    store.delete(f"f/{entries[2].name}")
    assert StageFolder.read(store, "f").manifest is None
    assert list(StageFolder.read(store, "f").without_missing_objects(manifest).parts()) == [0]


def test_merging_keeps_the_first_entry_of_a_part(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    first = tables.write_part(store, "f", Product, 0, [Product("1", "a", {}, "")])
    second = tables.write_part(store, "f", Product, 0, [Product("1", "b", {}, "")])
    merged = manifests.merge(
        "describe",
        "f",
        1,
        [Manifest("describe", "f", 1, (first,), Stats(1.0)), Manifest("describe", "f", 1, (second,))],
    )
    assert merged.entries == (first,)
    assert merged.stats.seconds == 1.0


def test_a_task_round_trips_and_the_latest_attempt_is_found(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    task = Task("r", "describe", "f", 1, {"a": 1}, {"ingest": "x"}, ("y",), 4, ((0, 2), (1, 3)), {"generator": "m"})
    assert StageFolder.read(store, task.folder).attempt == 0
    manifests.write_task(store, task)
    manifests.write_task(store, replace(task, attempt=11))
    assert manifests.read_task(store, task.key) == task
    assert StageFolder.read(store, task.folder).attempt == 11


def test_documents_of_another_version_or_invalid_json_are_rejected(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    store.put("f/manifest.json", b'{"version": 99, "entries": []}')
    with pytest.raises(InputError, match="another version"):
        manifests.read_manifest(store, "f")
    store.put("f/manifest.json", b"{")
    with pytest.raises(InputError, match="invalid JSON"):
        manifests.read_manifest(store, "f")
    assert manifests.read_manifest(store, "nothing") is None


def _config(**stages: object) -> object:
    model = {"name": "m"}
    return parse_config(
        {
            "run": "r",
            "catalog": {"source": "x.csv"},
            "models": {"generator": model, "encoder": model, "base": model},
            "stages": stages,
        },
        "test",
    )


def test_a_fingerprint_depends_only_on_what_affects_the_output() -> None:
    def fingerprint(name: str, config: object, **changes: object) -> str:
        arguments = {"prompts": "p", "models": {"generator": "m"}, "inputs": {}, "source": ""} | changes
        return manifests.fingerprint(graph.stage(name), config, **arguments)  # type: ignore[arg-type]

    default, other = _config(), _config(question={"per_product": 3})
    assert fingerprint("describe", default) == fingerprint("describe", other)
    assert fingerprint("question", default) != fingerprint("question", other)
    assert fingerprint("question", default) != fingerprint("question", default, prompts="q")
    assert fingerprint("question", default) != fingerprint("question", default, models={"generator": "n"})
    smaller_batch = default.model_copy(  # type: ignore[attr-defined]
        update={
            "models": default.models.model_copy(  # type: ignore[attr-defined]
                update={"generator": default.models.generator.model_copy(update={"batch_size": 1})}  # type: ignore[attr-defined]
            )
        }
    )
    assert fingerprint("question", default) == fingerprint("question", smaller_batch)


@pytest.mark.parametrize("stage", [stage.name for stage in graph.STAGES.values() if stage.models])
def test_a_fingerprint_does_not_depend_on_the_number_format(stage: str) -> None:
    def of(dtype: str) -> str:
        model = {"name": "m"}
        config = parse_config(
            {
                "run": "r",
                "catalog": {"source": "x.csv"},
                "models": {"generator": {**model, "dtype": dtype}, "encoder": model, "base": {**model, "dtype": dtype}},
            },
            "test",
        )
        return manifests.fingerprint(graph.stage(stage), config, prompts="p", models={}, inputs={}, source="")

    assert of("bfloat16") == of("float32") == of("auto")


def test_stages_are_in_topological_order_and_found_by_name() -> None:
    previous: set[str] = set()
    for stage in graph.STAGES.values():
        assert set(stage.reads) <= previous
        previous.add(stage.name)
    assert [stage.name for stage in graph.selected("question")] == ["ingest", "question"]
    assert "finetune" in graph.downstream(["question"])
    assert "describe" not in graph.downstream(["question"])
    with pytest.raises(InputError, match="valid stages: ingest"):
        graph.stage("nothing")


def test_a_lost_part_that_was_produced_again_counts(tmp_path: Path) -> None:
    """Two attempts list part 0 with different bytes, as sampling differs; the first object is missing."""
    store = open_store(str(tmp_path))
    task = Task("r", "describe", "f", 1, {}, {}, (), 1, ((0,),), {})
    lost = tables.write_part(store, task.folder, Product, 0, [Product("1", "a", {}, "")])
    manifests.write_shard_manifest(store, task, 0, Manifest("describe", "f", 1, (lost,)))
    store.delete(f"{task.folder}/{lost.name}")
    again = tables.write_part(store, task.folder, Product, 0, [Product("1", "b", {}, "")])
    manifests.write_shard_manifest(store, replace(task, attempt=2), 0, Manifest("describe", "f", 1, (again,)))
    assert StageFolder.read(store, task.folder).merge_shards("describe", 1).entries == (again,)
    assert StageFolder.read(store, task.folder).read_shard(1, 0).entries == (lost,)
