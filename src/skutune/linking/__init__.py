"""From a name that a model wrote to the products of the catalog that it may stand for, or to none."""

from skutune.linking.evidence import LITERAL
from skutune.linking.files import load, save
from skutune.linking.fitting import fit
from skutune.linking.linker import Linked, Linker, Ranked
from skutune.linking.queries import query_text
from skutune.linking.sources import Sources

__all__ = ["LITERAL", "Linked", "Linker", "Ranked", "Sources", "fit", "load", "query_text", "save"]
