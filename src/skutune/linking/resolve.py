"""Resolves recommended names to product ids during constrained decoding."""

from __future__ import annotations

from dataclasses import dataclass, field

from skutune.config.schema import LinkConfig
from skutune.engines.base import Encoder
from skutune.linking.linker import Linker
from skutune.linking.synthetic_names import query_text
from skutune.text import normalise_name


@dataclass(frozen=True)
class NameResolver:
    """A linker with its encoder and a cache, because a model recommends the same few hundred names repeatedly.

    Calling it with a name returns the ids of its near-ties, best first; empty if no product reaches the target
    precision or the name has no letters.
    """

    linker: Linker
    encoder: Encoder
    settings: LinkConfig
    _known: dict[str, tuple[str, ...]] = field(default_factory=dict, init=False, repr=False)

    def __call__(self, name: str) -> tuple[str, ...]:
        normalised = normalise_name(name)
        if normalised not in self._known:
            self._known[normalised] = self._link(name) if normalised else ()
        return self._known[normalised]

    def _link(self, name: str) -> tuple[str, ...]:
        vectors = self.encoder.encode([query_text(name, None)])
        (linked,) = self.linker.link([name], vectors, self.settings)
        return tuple(candidate.id for candidate in linked.candidates)
