"""A user's catalog file as products, and as rejects with their line and reason.

files       what the bytes are: compression, encoding, and what only pretends to be text
delimited   csv and tsv → records
jsonlines   jsonl → records
parquet     parquet → records
formats     the format that a file's name says, and whether it has the columns that are wanted
rows        records → products: ids, names, attributes
check       what a person wants to know about a catalog before a run
"""

from skutune.catalog.check import AttributeSummary, CatalogReport, check, raise_if_rejected
from skutune.catalog.rows import read

__all__ = ["AttributeSummary", "CatalogReport", "check", "raise_if_rejected", "read"]
