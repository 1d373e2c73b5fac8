"""From a name that a model wrote to the products of the catalog that it may stand for, or to none."""

from skutune.linking.features import LITERAL
from skutune.linking.fit import fit_linker
from skutune.linking.linker import Linked, Linker, Ranked
from skutune.linking.save import load_linker, save_linker
from skutune.linking.source_products import SourceScorer
from skutune.linking.synthetic_names import query_text

__all__ = [
    "LITERAL",
    "Linked",
    "Linker",
    "Ranked",
    "SourceScorer",
    "fit_linker",
    "load_linker",
    "query_text",
    "save_linker",
]
