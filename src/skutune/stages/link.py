"""Link each distinct name to the products that it may stand for, or to none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from skutune import linking
from skutune.hashing import content_key
from skutune.linking import Linker, query_text
from skutune.records import Expansion, Link, Name
from skutune.stages.base import Context, Item, Made
from skutune.versions import version_of

_WINDOW = 1024


@dataclass(frozen=True, slots=True)
class _Query:
    name: Name
    text: str


class Links:
    """Name + Expansion → Link. Pure: which of several candidates an answer gets is decided where it is composed."""

    record = Link
    attempts = 1

    def __init__(self, context: Context) -> None:
        self.context, self.config = context, context.config.stages.link
        self._linker: Linker | None = None

    def items(self, part: int) -> Iterator[Item]:
        inputs = self.context.inputs
        # A name's candidates depend on the whole catalog: another classifier is another key.
        classifier = inputs.manifest("classify").digests()
        settings = self.config.model_dump(mode="json")
        expansions = {
            expansion.normalised: expansion.text
            for expansion in inputs.part("expand", Expansion, part)
            if expansion.rejected is None
        }
        for name in inputs.part("distinct", Name, part):
            text = query_text(name.text, expansions.get(name.normalised))
            key = content_key(["link", version_of("link"), name.normalised, name.text, text, classifier, settings])
            yield Item(name.normalised, key, _Query(name, text))

    def rows(self, items: Iterable[Item]) -> Iterator[Made]:
        stream = iter(items)
        while window := list(islice(stream, _WINDOW)):
            vectors = self.context.encoder().encode([item.content.text for item in window])
            linked = self.linker().link([item.content.name.text for item in window], vectors, self.config)
            for item, found in zip(window, linked, strict=True):
                name: Name = item.content.name
                yield Made(item, [Link(name.normalised, name.text, found.candidates, found.best_p, item.key)])

    def linker(self) -> Linker:
        """The linker of the classify stage, loaded once."""
        if self._linker is None:
            self._linker = linking.load(self.context.inputs.folder("classify", "linker"))
        return self._linker
