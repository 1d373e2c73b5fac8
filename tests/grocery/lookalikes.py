"""Products that names alone hardly tell apart: a name that begins another, and names of the same words."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from skutune.records import Product

_WORD = re.compile(r"[a-z0-9]+")


def prefixes(products: Sequence[Product]) -> NDArray[np.bool_]:
    """Which products' names are the beginning of another's, up to case, shape (n,)."""
    names = [product.name.casefold() for product in products]
    ordered = sorted(set(names))
    # Sorted, whatever begins with a name follows it at once.
    beginning = {one for one, other in itertools.pairwise(ordered) if other.startswith(one)}
    return np.array([name in beginning for name in names])


def same_words(products: Sequence[Product]) -> NDArray[np.bool_]:
    """Which products' names have the same set of words as another's, up to a plural's s, shape (n,)."""
    sets = [frozenset(word.removesuffix("s") for word in _WORD.findall(product.name.lower())) for product in products]
    counts = Counter(sets)
    return np.array([counts[words] > 1 for words in sets])
