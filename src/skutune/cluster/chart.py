"""Writes what the chart takes from the models: its values, their schema, the table of stages, the README's tables.

`python -m skutune.cluster.chart helm/skutune` writes them; a test compares what is checked in. The schema is draft-07,
which is all that Helm 3 knows.
"""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import create_model
from pydantic.json_schema import GenerateJsonSchema

from skutune.cluster.placement import table
from skutune.cluster.stage_values import STAGE_MODELS, Part
from skutune.cluster.values import Values
from skutune.config import Config

BEGIN, END = "<!-- begin of what `make chart-docs` writes -->\n", "<!-- end of what `make chart-docs` writes -->\n"
_HEAD = (
    "# All values with their defaults. Written by `make chart-docs`: change src/skutune/cluster/values.py instead.\n"
)
_REFERENCES = "#/definitions/{model}"


def documents(readme: str) -> dict[str, str]:
    """The generated files of the chart by their path in it; `readme` is its README as it stands.

    Raises ValueError where the README has lost the marks between which the tables stand.
    """
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    if not rest or END not in rest:
        raise ValueError(f"the chart's README holds no pair of lines {BEGIN!r} and {END!r}")
    return {
        "values.yaml": values_yaml(),
        "values.schema.json": json.dumps(schema(), indent=1, ensure_ascii=False) + "\n",
        "files/stages.yaml": _stages_yaml(),
        "README.md": before
        + BEGIN
        + "\n".join(["", *_stage_table(), "", "## All values", "", *_values_table(), "", ""])
        + END
        + after,
    }


class _Untitled(GenerateJsonSchema):
    """Titles that only repeat the names of fields are left out."""

    def field_title_should_be_set(self, schema: object) -> bool:
        return False


def schema() -> dict[str, Any]:
    """The JSON Schema of the values: `config` is the pipeline's own schema, the rest that of `Values`."""
    values = Values.model_json_schema(ref_template=_REFERENCES, schema_generator=_Untitled)
    config = Config.model_json_schema(ref_template=_REFERENCES, schema_generator=_Untitled)
    definitions = values.pop("$defs") | _with_empty_sections(config.pop("$defs"))
    values["properties"]["config"] = {"$ref": "#/definitions/Config"}
    values["properties"]["global"] = {"description": "Helm's own key.", "type": "object"}
    definitions["Config"] = _with_empty_sections({"Config": config})["Config"]
    return {"$schema": "http://json-schema.org/draft-07/schema#"} | values | {"definitions": definitions}


def _with_empty_sections(definitions: dict[str, Any]) -> dict[str, Any]:
    """A section with nothing behind its key means its defaults, in the chart as in a config file."""
    for definition in definitions.values():
        for name, found in definition.get("properties", {}).items():
            if "$ref" in found and name not in definition.get("required", ()):
                found["anyOf"] = [{"$ref": found.pop("$ref")}, {"type": "null"}]
    return definitions


def values_yaml() -> str:
    """All values with their defaults, each under its description."""
    return _HEAD + "\n".join(_yaml_lines(Values(), ""))


def _yaml_lines(part: Part, indent: str) -> Iterator[str]:
    for name, field in type(part).model_fields.items():
        value = getattr(part, name)
        if not indent:
            yield ""
        if not (indent and _is_silent(value)):
            yield from textwrap.wrap(
                str(field.description), 110, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# "
            )
        if _is_silent(value):
            yield f"{indent}{field.alias}: {{}}"
        elif isinstance(value, Part):
            yield f"{indent}{field.alias}:"
            yield from _yaml_lines(value, indent + "  ")
        else:
            yield textwrap.indent(_plain(str(field.alias), value), indent)
    if not indent:
        yield ""


def _is_silent(value: object) -> bool:
    """Whether a part says nothing, so that `{}` shows it best."""
    return isinstance(value, Part) and not value.model_dump(exclude_none=True)


def _plain(key: str, value: object) -> str:
    if value is None:
        return f"# {key}:"
    return yaml.safe_dump({key: value}, sort_keys=False, width=120).rstrip()


def _stages_yaml() -> str:
    head = "# What each stage asks for by itself. Written by `make chart-docs` from the pipeline's graph.\n"
    return head + yaml.safe_dump({"stages": table()}, sort_keys=False, allow_unicode=True)


def _stage_table() -> Iterator[str]:
    yield "| stage | step | kind | image | devices | cpu | memory | disk | without devices |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for row in table():
        bare = row["withoutDevices"]
        room = row.get("eachDevice", bare)
        scale = max(1, row["devices"])
        without = f"{bare['cpu']} cpu, {bare['memory']}Gi, disk {bare['disk']}Gi" if "eachDevice" in row else "the same"
        cells = (row["name"], row["step"], row["kind"], row["image"], row["devices"] or "")
        asked = (room["cpu"] * scale, f"{room['memory'] * scale}Gi", f"{room['disk']}Gi", without)
        yield f"| {' | '.join(str(cell) for cell in (*cells, *asked))} |"


def _values_table() -> Iterator[str]:
    yield "| value | default | what |"
    yield "|---|---|---|"
    yield from _value_rows(Values(), "")
    yield from _value_rows(_any_stage(), "stages.<name>.")


def _any_stage() -> Part:
    """A stage that has every setting that some stage has."""
    fields: dict[str, Any] = {
        name: (field.annotation, field) for model in STAGE_MODELS.values() for name, field in model.model_fields.items()
    }
    return create_model("AnyStage", __base__=Part, **fields)()


def _value_rows(part: Part, prefix: str) -> Iterator[str]:
    for name, field in type(part).model_fields.items():
        value = getattr(part, name)
        if prefix == "stages." and _is_silent(value):
            continue
        if isinstance(value, Part):
            yield from _value_rows(value, f"{prefix}{field.alias}.")
            continue
        shown = "" if value is None else f"`{json.dumps(value)}`"
        yield f"| `{prefix}{field.alias}` | {shown} | {str(field.description).replace('|', chr(92) + '|')} |"


def main(chart: Path) -> None:
    """Write the generated files into a chart's folder."""
    for path, text in documents((chart / "README.md").read_text()).items():
        (chart / path).write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
