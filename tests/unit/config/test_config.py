"""The config: one YAML file with strict keys, all of whose problems are reported together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
import yaml

from skutune import samples
from skutune.config.load import json_schema, load_config, parse_config, to_yaml
from skutune.config.schema import Columns, Config
from skutune.errors import InputError

MINIMAL = """\
run: grocery
catalog: {source: products.csv}
models:
  generator: {name: meta-llama/Llama-3.1-8B-Instruct}
  encoder: {name: Qwen/Qwen3-Embedding-0.6B}
  base: {name: meta-llama/Llama-2-7b-chat-hf}
"""

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def build(content: str | bytes = MINIMAL, name: str = "run.yaml") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return build


def error_message(path: Path, *overrides: str) -> str:
    with pytest.raises(InputError) as caught:
        load_config(path, overrides)
    return str(caught.value)


def test_omitted_settings_have_defaults(write: Write) -> None:
    loaded = load_config(write())
    assert loaded.stages.question.per_product == 12
    assert loaded.coverage.min_examples == 10
    assert loaded.catalog.columns == Columns()


def test_a_byte_order_mark_is_accepted(write: Write) -> None:
    assert load_config(write(MINIMAL.encode("utf-8-sig"))).run == "grocery"


def test_an_unknown_key_gets_a_suggestion(write: Write) -> None:
    message = error_message(write(MINIMAL + "stages: {describe: {atempts: 2}}\n"))
    assert "stages.describe.atempts: unknown key; did you mean 'attempts'?" in message


def test_an_unknown_key_without_a_similar_one_lists_the_known_keys(write: Write) -> None:
    assert "xyz: unknown key; known keys: run, store, catalog" in error_message(write(MINIMAL + "xyz: 1\n"))


def test_an_unknown_key_in_an_optional_section_gets_a_suggestion(write: Write) -> None:
    message = error_message(write(MINIMAL + "stages: {describe: {sampling: {temprature: 1}}}\n"))
    assert "stages.describe.sampling.temprature: unknown key; did you mean 'temperature'?" in message


def test_all_problems_are_reported_together_with_their_paths(write: Write) -> None:
    content = "run: Big Run\ncatalog: {}\nmodels: {generator: {name: a, engine: gpt}, encoder: {name: b}}\nstroe: x\n"
    message = error_message(write(content))
    assert "5 problems" in message
    for path in (
        "run: ",
        "catalog.source: is missing",
        "models.generator.engine: ",
        "models.base: is missing",
        "stroe",
    ):
        assert f"  - {path}" in message


@pytest.mark.parametrize(
    "override",
    [
        "stages.describe.attempts=0",
        "stages.compose.hold_out_products=0.6",
        "stages.link.precision=1",
        "stages.question.intents=[]",
        "stages.question.intents=[lunch]",
        "stages.recommend.min_items=4",
        "stages.finetune.epochs=.nan",
        "stages.finetune.learning_rate=.inf",
        "stages.describe.sampling.temperature=.nan",
        "catalog.max_rejects=-1",
        "catalog.buckets=0",
        "run=-grocery",
        "run=" + "g" * 54,
        "coverage.min_examples=many",
        'store=""',
        'models.base.name=""',
    ],
)
def test_a_value_out_of_range_is_reported_with_its_path(write: Write, override: str) -> None:
    message = error_message(write(), override)
    path = override.split("=")[0]
    assert f"  - {path}" in message or f"  - {path.rpartition('.')[0]}:" in message


@pytest.mark.parametrize(
    ("template", "what"),
    [
        ("{brand", "not a template"),
        ("{} x", "put a column name"),
        ("brand}", "not a template"),
        ("{a{b}}", "not a template"),
    ],
)
def test_an_invalid_name_template_raises(write: Write, template: str, what: str) -> None:
    message = error_message(write(), f"catalog.columns.name={template!r}" if "'" not in template else template)
    assert "catalog.columns.name: " in message
    assert what in message


def test_the_columns_of_a_name_template() -> None:
    assert Columns(name="{brand} {type}").name_fields == ("brand", "type")
    assert Columns(name="title").name_fields == ("title",)
    assert Columns(name="{title} {{x}} {shipping (country:price)}").name_fields == ("title", "shipping (country:price)")


@pytest.mark.parametrize(
    ("override", "what"),
    [
        ("catalog.delimiter=ab", "must be auto or one character"),
        ("catalog.encoding=utf-9", "unknown encoding"),
        ("catalog.quoting=never", "Input should be"),
    ],
)
def test_an_unknown_dialect_raises(write: Write, override: str, what: str) -> None:
    message = error_message(write(), override)
    assert override.split("=")[0] in message
    assert what in message


def test_overrides_replace_or_add_settings_and_are_yaml(write: Write) -> None:
    loaded = load_config(write(), ["stages.paraphrase.variants=0", "catalog.columns={id: sku, attributes: [aisle]}"])
    assert loaded.stages.paraphrase.variants == 0
    assert loaded.catalog.columns == Columns(id="sku", attributes=("aisle",))


def test_the_last_of_two_overrides_wins(write: Write) -> None:
    assert load_config(write(), ["run=a", "run=b"]).run == "b"


@pytest.mark.parametrize(
    ("override", "what"),
    [
        ("run", "write it as path.to.setting=value"),
        ("=x", "write it as path.to.setting=value"),
        ("a..b=x", "write it as path.to.setting=value"),
        ("run.name=x", "'run' is a value, not a section"),
        ("run=[", "not valid YAML"),
    ],
)
def test_an_invalid_override_is_reported(write: Write, override: str, what: str) -> None:
    message = error_message(write(), override)
    assert repr(override) in message
    assert what in message


def test_an_override_sets_a_value_in_an_empty_section(write: Write) -> None:
    assert load_config(write(MINIMAL + "stages:\n"), ["stages.paraphrase.variants=1"]).stages.paraphrase.variants == 1


def test_an_empty_section_has_its_defaults(write: Write) -> None:
    assert load_config(write(MINIMAL + "coverage:\nstages:\n")) == load_config(write())


def test_relative_paths_are_resolved_against_the_files_folder(write: Write, tmp_path: Path, monkeypatch) -> None:
    path = write()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    loaded = load_config(path, ["models.base.name=./weights", "models.encoder.name=s3://bucket/encoder"])
    assert loaded.store == str(tmp_path / "runs")
    assert loaded.catalog.source == str(tmp_path / "products.csv")
    assert loaded.models.base.name == str(tmp_path / "weights")
    assert loaded.models.encoder.name == "s3://bucket/encoder"
    assert loaded.models.generator.name == "meta-llama/Llama-3.1-8B-Instruct"


def test_a_relative_config_path_gives_absolute_paths(write: Write, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(write().parent)
    assert load_config(Path("run.yaml")).store == str(tmp_path / "runs")


def test_s3_addresses_are_unchanged(write: Write) -> None:
    loaded = load_config(write(), ["store=s3://bucket/runs", "catalog.source=s3://bucket/a.csv"])
    assert (loaded.store, loaded.catalog.source) == ("s3://bucket/runs", "s3://bucket/a.csv")


def test_the_resolved_config_round_trips_through_yaml(write: Write) -> None:
    loaded = load_config(write())
    assert parse_config(yaml.safe_load(to_yaml(loaded)), "resolved") == loaded


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"run: caf\xe9\n", "not UTF-8"),
        ("run: grocery\nmodels: {a: [1\nstore: x\n", "line 3: not valid YAML"),
        ("run: grocery\n\tstore: x\n", "line 2: not valid YAML"),
        ("run: \x07bell\n", "not valid YAML"),
        ("", "has no settings"),
        ("- run\n", "has no settings"),
        ("run: a\nrun: b\n", "line 2: not valid YAML: duplicate key 'run'"),
        ("run: a\n? [x]\n: y\n", "line 2: not valid YAML"),
        ("5: x\n" + MINIMAL, "5: Keys should be strings"),
        (MINIMAL + "catalog: {<<: 3}\n", "not valid YAML"),
        ("a: " + "[" * 5_000, "not valid YAML"),
        ("run: 2020-13-45\n", "not valid YAML"),
    ],
)
def test_an_invalid_file_raises(write: Write, content: str | bytes, what: str) -> None:
    path = write(content)
    message = error_message(path)
    assert what in message
    assert str(path) in message


def test_a_folder_and_a_missing_file_raise(tmp_path: Path) -> None:
    assert "is a folder" in error_message(tmp_path)
    assert "no such file" in error_message(tmp_path / "none.yaml")


def test_the_json_schema_accepts_a_valid_config_and_rejects_unknown_keys(write: Write) -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    document = yaml.safe_load(samples.demo_config())
    assert list(validator.iter_errors(document)) == []
    assert not validator.is_valid(document | {"stroe": "x"})


def test_the_resolved_config_follows_the_schema(write: Write) -> None:
    document = yaml.safe_load(to_yaml(load_config(write())))
    jsonschema.Draft202012Validator(json_schema()).validate(document)


def test_a_config_is_immutable(write: Write) -> None:
    loaded: Config = load_config(write())
    with pytest.raises(ValueError, match="frozen"):
        loaded.run = "other"  # type: ignore[misc]
