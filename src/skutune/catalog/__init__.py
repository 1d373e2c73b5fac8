"""Reads a catalog file into products and rejects with line and reason.

files       compression, and files with the wrong suffix
encoding    a text file's encoding, detected
dialect     a text table's delimiter, detected
quoting     the rows of a text table, quotes that do not follow the standard included
delimited   csv, tsv and txt → records
jsonlines   jsonl → records
parquet     parquet → records
formats     the format by file suffix, and the check of the required columns
variants    the rows of a product's variants: empty cells inherited from its first row
cleaning    HTML, links, placeholders and nested JSON in cells
rows        records → products: ids, names, attributes
notes       what was changed or left out while reading
check       statistics of a catalog before a run
suspicions  what a person should look at
"""

from skutune.catalog.check import CatalogReport, Change, check, raise_if_rejected
from skutune.catalog.rows import CatalogReader, read
from skutune.catalog.suspicions import AttributeSummary

__all__ = ["AttributeSummary", "CatalogReader", "CatalogReport", "Change", "check", "raise_if_rejected", "read"]
