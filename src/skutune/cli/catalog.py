"""The commands that check inputs before a run: `catalog check`, `config schema`, `config show`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from skutune.cli.console import say
from skutune.config.load import json_schema, load_config, parse_columns, to_yaml


def check(
    file: Annotated[Path, typer.Argument(help="CSV, TSV, JSONL or Parquet file.")],
    id_column: Annotated[str, typer.Option("--id", help="Id column.")] = "id",
    name: Annotated[str, typer.Option("--name", help='Name column, or a template: "{brand} {type}".')] = "name",
    attributes: Annotated[list[str] | None, typer.Option("--attribute", help="Attribute column; repeatable.")] = None,
    max_rejects: Annotated[int, typer.Option(min=0, help="Maximum number of rejected lines.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Validate a catalog and print each problem with its line. Exits with 10 if a run would reject the catalog."""
    from skutune import catalog

    columns = parse_columns(id_column, name, attributes)
    result = catalog.check(file, columns, max_rejects)
    if as_json:
        print(json.dumps(asdict(result), ensure_ascii=False, indent=1))
    else:
        for reject in result.rejects:
            print(f"{file}: line {reject.line}: {reject.reason}")
        print(f"{result.products:,} products, {result.rejected:,} problems")
        for attribute, summary in result.attributes.items():
            or_more = "or more " if summary.capped else ""
            print(f"  {attribute}: {summary.filled:,} filled, {summary.distinct:,} {or_more}distinct")
        if result.duplicate_names:
            print(f"  {result.duplicate_names:,} products share their name with another product")
    if not result.usable:
        say(f"A run would reject this catalog; fix it, or set catalog.max_rejects: {result.rejected}")
        raise typer.Exit(10)


def config_schema() -> None:
    """Print the JSON Schema of the config."""
    print(json.dumps(json_schema(), indent=1))


def config_show(
    config_file: Annotated[Path, typer.Option("--config", "-c", help="Config file (YAML).")],
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="A.B=C", help="Override a setting; repeatable.")
    ] = None,
) -> None:
    """Print the config with all defaults."""
    print(to_yaml(load_config(config_file, overrides or [])), end="")
