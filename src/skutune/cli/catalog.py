"""The commands that check inputs before a run: `catalog check`, `config schema`, `config show`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from skutune.cli.console import say
from skutune.config.load import json_schema, load_config, parse_catalog_options, to_yaml

if TYPE_CHECKING:
    from skutune.catalog import CatalogReport


def check(
    file: Annotated[Path, typer.Argument(help="CSV, TSV, JSON Lines or Parquet file.")],
    id_column: Annotated[str, typer.Option("--id", help="Id column.")] = "id",
    name: Annotated[str, typer.Option("--name", help='Name column, or a template: "{brand} {type}".')] = "name",
    attributes: Annotated[list[str] | None, typer.Option("--attribute", help="Attribute column; repeatable.")] = None,
    delimiter: Annotated[str, typer.Option(help="Delimiter of a text table, or auto.")] = "auto",
    encoding: Annotated[str, typer.Option(help="Encoding of a text file, or auto.")] = "auto",
    quoting: Annotated[str, typer.Option(help="auto, standard or none: how quotes are read.")] = "auto",
    inherit: Annotated[
        str, typer.Option(metavar="COLUMN", help="Column that a product's variants share, auto or none.")
    ] = "auto",
    duplicates: Annotated[str, typer.Option(help="reject or merge rows that repeat an id.")] = "reject",
    markup: Annotated[str, typer.Option(help="remove or keep HTML and links in cells.")] = "remove",
    max_rejects: Annotated[float, typer.Option(min=0, help="Maximum number (or share) of rejected rows.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Validate a catalog: print how it is read, each problem with its line, and what looks suspicious.

    Exits with 10 if a run would reject the catalog.
    """
    from skutune import catalog

    config = parse_catalog_options(
        {
            "source": str(file),
            "id": id_column,
            "name": name,
            "attribute": attributes,
            "delimiter": "\t" if delimiter == "\\t" else delimiter,
            "encoding": encoding,
            "quoting": quoting,
            "inherit": inherit,
            "duplicates": duplicates,
            "markup": markup,
            "max_rejects": max_rejects,
        }
    )
    result = catalog.check(file, config)
    if as_json:
        print(json.dumps(asdict(result), ensure_ascii=False, indent=1))
    else:
        _print_report(file, result)
    if not result.usable:
        merge = ", or catalog.duplicates: merge" if any("duplicate" in each.reason for each in result.rejects) else ""
        say(f"A run would reject this catalog; fix it, or set catalog.max_rejects: {result.rejected}{merge}")
        raise typer.Exit(10)


def _print_report(file: Path, report: CatalogReport) -> None:
    for reject in report.rejects:
        print(f"{file}: line {reject.line}: {reject.reason}")
    if report.rejected > len(report.rejects):
        print(f"{file}: and {report.rejected - len(report.rejects):,} more")
    products, problems = _counted(report.products, "product"), _counted(report.rejected, "problem")
    print(f"{products}, {problems}; read as {report.dialect}")
    if report.group is not None:
        print(f"  rows with the same {report.group!r} are variants of one product (catalog.inherit)")
    for attribute, summary in report.attributes.items():
        or_more = "or more " if summary.capped else ""
        print(f"  {attribute}: {summary.filled:,} filled, {summary.distinct:,} {or_more}distinct")
    if report.duplicate_names:
        print(f"  {report.duplicate_names:,} products share their name with another product")
    for change in report.changes:
        line = "line" if len(change.lines) == 1 else "lines"
        lines = ", ".join(f"{line}" for line in change.lines) + (", …" if change.rows > len(change.lines) else "")
        rows = _counted(change.rows, "row")
        print(f"Changed: {rows}: {change.note}; {line} {lines}")
    for suspicion in report.suspicions:
        print(f"Suspicious: {suspicion}")


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


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
