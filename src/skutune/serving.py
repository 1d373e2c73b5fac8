"""What a finished run can be asked: answers from the tuned model, closest products from its linker."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skutune import runs
from skutune.config import LinkConfig
from skutune.engines.base import Encoder
from skutune.engines.pool import ModelPool
from skutune.linking import Linker, query_text
from skutune.records import Product
from skutune.runs import RunInfo
from skutune.stages.base import Inputs
from skutune.store.base import ObjectStore

if TYPE_CHECKING:
    from skutune.answering import AnswerModel

_MAX_WORDS = 200  # of a text to link; a name has a few, and the encoder cuts long before this


@contextmanager
def answer_model(store: ObjectStore, info: RunInfo, cache: Path) -> Iterator[AnswerModel]:
    """The tuned model of a run, loaded. Raises InputError where the run has none yet."""
    from skutune.answering import AnswerModel

    with tempfile.TemporaryDirectory(prefix="skutune-") as scratch:
        inputs = inputs_of(store, info, ("ingest", "finetune"), Path(scratch))
        pool = ModelPool(info.config.models, cache)
        base = pool.weights("base").path
        assert base is not None
        products = ((product.id, product.name) for product in inputs.rows("ingest", Product))
        tuned = inputs.folder("finetune", "adapter" if info.config.stages.finetune.method == "lora" else "model")
        if info.config.stages.finetune.method == "lora":
            model = AnswerModel.load(base, tuned, products, dtype=info.config.models.base.dtype)
        else:
            model = AnswerModel.load(tuned, None, products, dtype=info.config.models.base.dtype)
        yield model


@dataclass(frozen=True, slots=True)
class LoadedLinker:
    """A run's linker with its encoder and its names."""

    linker: Linker
    encoder: Encoder
    names: dict[str, str]
    settings: LinkConfig


def linker_of(store: ObjectStore, info: RunInfo, cache: Path) -> LoadedLinker:
    """The linker of a run, loaded. Raises InputError where the run has none yet."""
    with tempfile.TemporaryDirectory(prefix="skutune-") as scratch:
        inputs = inputs_of(store, info, ("ingest", "classify"), Path(scratch))
        linker = Linker.load(inputs.folder("classify", "linker"))
        names = {product.id: product.name for product in inputs.rows("ingest", Product)}
    pool = ModelPool(info.config.models, cache)
    return LoadedLinker(linker, pool.encoder(), names, info.config.stages.link)


def link_texts(loaded: LoadedLinker, texts: Sequence[str], top: int) -> Iterator[dict[str, Any]]:
    """One JSON-ready object a text, in order; `product` is None where no product is close enough."""
    shortened = [" ".join(text.split()[:_MAX_WORDS]) for text in texts]
    vectors = loaded.encoder.encode([query_text(text, None) for text in shortened])
    linked = loaded.linker.link(shortened, vectors, loaded.settings)
    candidates = loaded.linker.top(shortened, vectors, top)
    for text, found, shown in zip(texts, linked, candidates, strict=True):
        best = found.candidates[0] if found.candidates else None
        yield {
            "text": text,
            "product": _shown(best) if best else None,
            "candidates": [_shown(candidate) for candidate in shown],
        }


def inputs_of(store: ObjectStore, info: RunInfo, stages: Sequence[str], scratch: Path) -> Inputs:
    """The outputs of a run's stages. Raises InputError where one is not done."""
    outputs = {stage: runs.stage_output(store, info, stage) for stage in stages}
    return Inputs(
        store,
        {stage: folder for stage, (folder, _) in outputs.items()},
        {stage: manifest for stage, (_, manifest) in outputs.items()},
        scratch,
    )


def _shown(candidate: Any) -> dict[str, Any]:
    return {"id": candidate.id, "name": candidate.name, "p": round(candidate.p, 4)}
