"""The commands that look at inputs before a run: `catalog check`, `config schema`, `config show`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from skutune.cli.console import say
from skutune.config.load import json_schema, load_config, parse_columns, to_yaml


def check(
    file: Annotated[Path, typer.Argument(help="csv, tsv, jsonl or parquet file.")],
    id_column: Annotated[str, typer.Option("--id", help="Column of the product's id.")] = "id",
    name: Annotated[str, typer.Option("--name", help='Column of the name, or a template: "{brand} {type}".')] = "name",
    attributes: Annotated[list[str] | None, typer.Option("--attribute", help="A column that describes.")] = None,
    max_rejects: Annotated[int, typer.Option(min=0, help="Lines that may be left out.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="The findings as JSON.")] = False,
) -> None:
    """Validate a catalog; print each problem with its line. Exit code 10 where a run would refuse it."""
    from skutune import catalog

    columns = parse_columns(id_column, name, attributes)
    found = catalog.check(file, columns, max_rejects)
    if as_json:
        print(json.dumps(asdict(found), ensure_ascii=False, indent=1))
    else:
        for reject in found.rejects:
            print(f"{file}: line {reject.line}: {reject.reason}")
        print(f"{found.products:,} products, {found.rejected:,} problems")
        for attribute, summary in found.attributes.items():
            more = "or more " if summary.capped else ""
            print(f"  {attribute}: {summary.filled:,} filled, {summary.distinct:,} {more}different")
        if found.duplicate_names:
            print(f"  {found.duplicate_names:,} products share their name with another one")
    if not found.usable:
        say(f"A run would refuse this catalog; mend it, or allow rejects with catalog.max_rejects: {found.rejected}")
        raise typer.Exit(10)


def config_schema() -> None:
    """Print the config's JSON Schema."""
    print(json.dumps(json_schema(), indent=1))


def config_show(
    config_file: Annotated[Path, typer.Option("--config", "-c", help="The run's config, a YAML file.")],
    overrides: Annotated[list[str] | None, typer.Option("--set", metavar="A.B=C", help="Change a setting.")] = None,
) -> None:
    """Print the config with all defaults filled in."""
    print(to_yaml(load_config(config_file, overrides or [])), end="")
