"""The generated files of the chart are up to date."""

import json
import tomllib

import jsonschema
import pytest
import yaml
from chart_rendering import CHART, EXAMPLES

from skutune.cluster.chart import generate
from skutune.cluster.chart.default_resources import table
from skutune.cluster.chart.values import Values
from skutune.pipeline.graph import CLUSTER_STAGES

README = (CHART / "README.md").read_text()


@pytest.mark.parametrize("path", generate.documents(README))
def test_the_generated_files_are_up_to_date(path: str) -> None:
    assert (CHART / path).read_text() == generate.documents(README)[path], "run `make chart-docs`"


def test_a_readme_without_markers_is_rejected() -> None:
    with pytest.raises(ValueError, match="lacks the marker lines"):
        generate.documents("# another")


def test_the_schema_is_draft_07_for_helm_3() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    jsonschema.Draft7Validator.check_schema(schema)
    assert "$defs" not in json.dumps(schema)


def test_the_schema_rejects_unknown_keys_everywhere() -> None:
    schema = generate.schema()
    for name, definition in schema["definitions"].items():
        assert definition["additionalProperties"] is False, name
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_complies_with_the_schema(example: str) -> None:
    """Except for null, which removes a default in helm."""
    values = yaml.safe_load(EXAMPLES[example].read_text())
    problems = list(jsonschema.Draft7Validator(generate.schema()).iter_errors(values))
    assert [problem.message for problem in problems if problem.instance is not None] == []


def test_every_value_has_a_description() -> None:
    schema = Values.model_json_schema()
    for name, definition in [("values", schema), *schema["$defs"].items()]:
        for key, found in definition["properties"].items():
            # Pydantic omits a description that equals the section's.
            section = schema["$defs"].get(found.get("$ref", "").rpartition("/")[2], {})
            assert found.get("description") or section.get("description"), f"{name}.{key}"


def test_the_table_of_stages_matches_the_pipeline() -> None:
    rows = yaml.safe_load((CHART / "files" / "stages.yaml").read_text())["stages"]
    assert rows == table()
    assert [row["name"] for row in rows] == list(CLUSTER_STAGES)
    assert [(row["step"], row["kind"], row["image"]) for row in rows] == [
        (stage.step, stage.kind, stage.image) for stage in CLUSTER_STAGES.values()
    ]


def test_the_chart_has_the_packages_version() -> None:
    project = tomllib.loads((CHART.parent.parent / "pyproject.toml").read_text())["project"]
    described = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert described["appVersion"] == project["version"]
    assert described["kubeVersion"] == ">=1.31.0-0"
