"""Link each distinct name to the products that it may refer to, or to none."""

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
    """Name + Expansion → Link. Emits all candidates; the answer stage picks one for each occurrence of a name.

    A name's source products are scored too. They are part of the key, so a new source product recomputes the row.
    """

    record = Link

    def __init__(self, context: Context) -> None:
        self.context, self.config = context, context.config.stages.link
        self._source_scorer: SourceScorer | None = None

    def items(self, part: int) -> Iterator[WorkItem]:
        inputs = self.context.inputs
        # A name's candidates depend on the whole catalog, so the key includes the classifier's digests.
        classifier = inputs.manifest("classify").digests()
        settings = self.config.model_dump(mode="json")
        expansions = {
            expansion.normalised: expansion.text
            for expansion in inputs.part("expand", Expansion, part)
            if expansion.rejected is None
        }
        for name in inputs.part("distinct", Name, part):
            text = query_text(name.text, expansions.get(name.normalised))
            query = [name.normalised, name.text, name.sources, text]
            key = content_key(["link", version_of("link"), *query, classifier, settings])
            yield WorkItem(name.normalised, key, _Query(name, text))

    def rows(self, items: Iterable[WorkItem]) -> Iterator[ItemResult]:
        stream = iter(items)
        while window := list(islice(stream, _WINDOW)):
            yield from self._link(window)

    def _link(self, items: list[WorkItem]) -> Iterator[ItemResult]:
        names: list[Name] = [item.content.name for item in items]
        texts = [name.text for name in names]
        vectors = self.context.encoder().encode([item.content.text for item in items])
        ranked = list(self.linker.rank(texts, vectors))
        source_ids = [name.sources for name in names]
        scored = self.source_scorer().judge(texts, vectors, ranked, source_ids, self.config.precision)
        for item, name, candidates, sources in zip(items, names, ranked, scored, strict=True):
            chosen = self.linker.choose(candidates, self.config)
            yield ItemResult(
                item, [Link(name.normalised, name.text, chosen.candidates, chosen.best_p, sources, item.key)]
            )

    @property
    def linker(self) -> Linker:
        """The linker of the classify stage."""
        return self.source_scorer().linker

    def source_scorer(self) -> SourceScorer:
        """Scores source products with that linker; loaded once."""
        if self._source_scorer is None:
            self._source_scorer = SourceScorer(linking.load_linker(self.context.inputs.folder("classify", "linker")))
        return self._source_scorer
