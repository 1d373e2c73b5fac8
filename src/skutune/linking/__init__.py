"""From a name that a model wrote to the products of the catalog that it may stand for, or to none."""

from skutune.linking.evidence import LITERAL
from skutune.linking.files import load, save
from skutune.linking.fitting import fit
from skutune.linking.linker import Linked, Linker, Ranked
from skutune.linking.queries import query_text

__all__ = ["LITERAL", "Linked", "Linker", "Ranked", "fit", "load", "query_text", "save"]
