"""From a name that a model wrote to the products of the catalog that it may stand for, or to none."""

from skutune.linking.fitting import fit
from skutune.linking.linker import Linked, Linker
from skutune.linking.queries import query_text

__all__ = ["Linked", "Linker", "fit", "query_text"]
