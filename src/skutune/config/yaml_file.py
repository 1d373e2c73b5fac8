"""YAML config files: duplicate keys are errors, errors have line numbers, values can be overridden.

YAML parsers silently keep the last of duplicate keys, so that the first setting would have no effect.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from skutune.errors import InputError


def read_document(path: Path) -> dict[str, Any]:
    """Read a YAML file that contains a mapping.

    Raises:
        InputError: the file cannot be read, is not UTF-8, is not valid YAML (with the line), or is not a mapping.
    """
    text = _text(path)
    try:
        document = yaml.load(text, Loader=_UniqueKeyLoader)
    except yaml.YAMLError as error:
        raise InputError(f"config {path}{_line(error)}: not valid YAML: {_reason(error)}") from None
    except RecursionError:
        raise InputError(f"config {path}: not valid YAML: nested too deeply") from None
    except ValueError as error:  # a malformed date
        raise InputError(f"config {path}: not valid YAML: {error}; quote strings") from None
    if not isinstance(document, dict):
        hint = "start from `skutune config schema` or the README's example"
        raise InputError(f"config {path}: has no settings; {hint}")
    return document


def apply_overrides(document: dict[str, Any], overrides: Sequence[str]) -> None:
    """Set `a.b.c=value` in place. Raises InputError if there is no `=` or a parent is not a section."""
    for override in overrides:
        path, separator, value = override.partition("=")
        *parents, leaf = path.strip().split(".")
        if not separator or not all((*parents, leaf)):
            raise InputError(f"--set {override!r}: write it as path.to.setting=value")
        _section(document, parents, override)[leaf] = _value(value, override)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"config {path}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"config {path}: is a folder; use the path of a YAML file") from None
    except UnicodeDecodeError:
        raise InputError(f"config {path}: not UTF-8 text; save it as UTF-8") from None
    except OSError as error:
        raise InputError(f"config {path}: cannot be read: {error.strerror}") from None


def _section(document: dict[str, Any], parents: Sequence[str], override: str) -> dict[str, Any]:
    node = document
    for parent in parents:
        if node.get(parent) is None:  # missing or empty section
            node[parent] = {}
        node = node[parent]
        if not isinstance(node, dict):
            raise InputError(f"--set {override!r}: {parent!r} is a value, not a section")
    return node


def _value(value: str, override: str) -> Any:
    try:
        return yaml.load(value, Loader=_UniqueKeyLoader)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise InputError(f"--set {override!r}: the value is not valid YAML; quote strings") from None


class _UniqueKeyLoader(yaml.SafeLoader):
    """A safe loader that rejects duplicate keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == "tag:yaml.org,2002:merge":
                continue
            if key_node.value in keys:
                problem = f"duplicate key {key_node.value!r}"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            keys.add(key_node.value)
        return super().construct_mapping(node, deep=deep)


def _line(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return f", line {mark.line + 1}" if mark else ""


def _reason(error: yaml.YAMLError) -> str:
    return getattr(error, "problem", None) or getattr(error, "reason", None) or "not YAML"
