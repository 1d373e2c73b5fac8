"""Reads a catalog file into products and rejects with line and reason.

files       compression, encoding, and files with the wrong suffix
delimited   csv and tsv → records
jsonlines   jsonl → records
parquet     parquet → records
formats     the format by file suffix, and the check of the required columns
rows        records → products: ids, names, attributes
check       statistics of a catalog before a run
"""

from skutune.catalog.check import AttributeSummary, CatalogReport, check, raise_if_rejected
from skutune.catalog.rows import read

__all__ = ["AttributeSummary", "CatalogReport", "check", "raise_if_rejected", "read"]
