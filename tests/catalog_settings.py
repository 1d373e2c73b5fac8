"""Catalog settings for tests."""

from __future__ import annotations

from skutune.config.schema import CatalogConfig, Columns


def catalog_config(settings: dict[str, object] | None = None, **columns: object) -> CatalogConfig:
    """Settings with these columns; the source is not used by readers."""
    return CatalogConfig.model_validate(
        {"source": "unused.csv", "columns": Columns.model_validate(columns), **(settings or {})}
    )
