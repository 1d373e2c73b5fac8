"""Link each distinct name to the products that it may stand for, or to none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from skutune import linking
from skutune.hashing import content_key
from skutune.linking import Linker, SourceScorer, query_text
from skutune.pipeline.code_version import version_of
from skutune.records import Expansion, Link, Name
from skutune.stages.base import Context, ItemResult, MapStage, WorkItem

_WINDOW = 1024


@dataclass(frozen=True, slots=True)
class _Query:
    name: Name
    text: str


class Links(MapStage):
    """Name + Expansion → Link. Pure: which of several candidates an answer gets is decided where it is composed.

    The products that a name was written for are judged as well; a row is made anew when there is another of them.
    """

    record = Link

    def __init__(self, context: Context) -> None:
        self.context, self.config = context, context.config.stages.link
        self._sources: SourceScorer | None = None

    def items(self, part: int) -> Iterator[WorkItem]:
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
            asked = [name.normalised, name.text, name.sources, text]
            key = content_key(["link", version_of("link"), *asked, classifier, settings])
            yield WorkItem(name.normalised, key, _Query(name, text))

    def rows(self, items: Iterable[WorkItem]) -> Iterator[ItemResult]:
        stream = iter(items)
        while window := list(islice(stream, _WINDOW)):
            yield from self._linked(window)

    def _linked(self, items: list[WorkItem]) -> Iterator[ItemResult]:
        names: list[Name] = [item.content.name for item in items]
        texts = [name.text for name in names]
        vectors = self.context.encoder().encode([item.content.text for item in items])
        ranked = list(self.linker.rank(texts, vectors))
        of_names = [name.sources for name in names]
        judged = self.sources().judge(texts, vectors, ranked, of_names, self.config.precision)
        for item, name, each, sources in zip(items, names, ranked, judged, strict=True):
            found = self.linker.choose(each, self.config)
            yield ItemResult(
                item, [Link(name.normalised, name.text, found.candidates, found.best_p, sources, item.key)]
            )

    @property
    def linker(self) -> Linker:
        """The linker of the classify stage."""
        return self.sources().linker

    def sources(self) -> SourceScorer:
        """What judges sources by that linker, loaded once."""
        if self._sources is None:
            self._sources = SourceScorer(linking.load_linker(self.context.inputs.folder("classify", "linker")))
        return self._sources
