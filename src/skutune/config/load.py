"""Loads the config: parses it once, reports all problems together and resolves relative paths."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from skutune.config.model_name import is_folder
from skutune.config.schema import CatalogConfig, Config
from skutune.config.yaml_file import apply_overrides, read_document
from skutune.errors import InputError, Problem


def load_config(path: Path, overrides: Sequence[str] = ()) -> Config:
    """Read a config file and apply overrides of the form `a.b=value` (value is YAML).

    Relative paths of the catalog, model folders and the store are resolved against the config file's folder, so that a
    run does not depend on the working directory.

    Raises:
        InputError: the file cannot be read or parsed, or values are invalid; lists all problems.
    """
    document = read_document(path)
    apply_overrides(document, overrides)
    config = parse_config(document, f"config {path}")
    return _resolve_paths(config, path.parent)


def parse_config(document: Mapping[str, Any], origin: str) -> Config:
    """Build a Config from a parsed document; `origin` is its name in errors."""
    try:
        return Config.model_validate(document)
    except ValidationError as error:
        problems = [_problem(item, document) for item in error.errors()]
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise InputError(f"{origin}: {count}", problems) from None


def parse_catalog_options(options: Mapping[str, Any]) -> CatalogConfig:
    """The catalog settings of a command line; the names are those of the options, None is the default.

    Raises:
        InputError: values are invalid; lists all problems.
    """
    columns = {name: options[name] for name in ("id", "name", "attribute") if options.get(name) is not None}
    document = {name: value for name, value in options.items() if name not in columns and value is not None}
    if "attribute" in columns:
        columns["attributes"] = tuple(columns.pop("attribute"))
    try:
        return CatalogConfig.model_validate({**document, "columns": columns})
    except ValidationError as error:
        problems = [
            Problem(f"--{str(item['loc'][-1]).replace('_', '-')}", item["msg"].removeprefix("Value error, "))
            for item in error.errors()
        ]
        raise InputError("invalid options", problems) from None


def json_schema() -> dict[str, Any]:
    """The config's JSON Schema."""
    return Config.model_json_schema()


def to_yaml(config: Config) -> str:
    """The resolved config as YAML, defaults included."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _resolve_paths(config: Config, folder: Path) -> Config:
    """The config with relative paths resolved against the folder of its file."""

    def resolve(name: str) -> str:
        if "://" in name:
            return name
        path = folder / Path(name).expanduser()
        return str(path.resolve())

    store = resolve(config.store)
    source = resolve(config.catalog.source)
    models = config.models.model_copy(
        update={
            role: model.model_copy(update={"name": resolve(model.name)})
            for role, model in config.models
            if model is not None and is_folder(model.name)
        }
    )
    updates = {"store": store, "catalog": config.catalog.model_copy(update={"source": source}), "models": models}
    labels = config.stages.evaluate.judge.labels
    if labels is not None:
        judge = config.stages.evaluate.judge.model_copy(update={"labels": resolve(labels)})
        evaluate = config.stages.evaluate.model_copy(update={"judge": judge})
        updates["stages"] = config.stages.model_copy(update={"evaluate": evaluate})
    return config.model_copy(update=updates)


def _problem(item: Any, document: Mapping[str, Any]) -> Problem:
    path = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        return Problem(path, "unknown key" + _suggestion(item["loc"]))
    if item["type"] == "missing":
        return Problem(path, "is missing")
    shown = "" if isinstance(item.get("input"), (dict, list)) else f" (it is {item.get('input')!r})"
    return Problem(path, item["msg"].removeprefix("Value error, ") + shown)


def _suggestion(location: Sequence[str | int]) -> str:
    section: Any = Config
    for part in location[:-1]:
        fields = getattr(section, "model_fields", {})
        if part not in fields:
            return ""
        section = fields[part].annotation
    known = list(getattr(section, "model_fields", {}))
    matches = difflib.get_close_matches(str(location[-1]), known, n=1)
    return f"; did you mean {matches[0]!r}?" if matches else f"; known keys: {', '.join(known)}"
