"""A finished run in use: answers of its tuned model, links of its linker."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skutune import linking
from skutune.config.schema import Config, LinkConfig
from skutune.engines.base import Encoder
from skutune.engines.pool import ModelPool
from skutune.errors import InputError
from skutune.linking import Linker, query_text
from skutune.linking.resolve import NameResolver
from skutune.pipeline import runs
from skutune.pipeline.graph import Role
from skutune.pipeline.manifests import Manifest
from skutune.pipeline.runs import RunInfo
from skutune.pipeline.stage_io import MODEL_VERSION, Inputs
from skutune.records import Product
from skutune.store.base import ObjectStore
from skutune.text import normalise_name

if TYPE_CHECKING:
    from skutune.serving.answer_model import AnswerModel

_MAX_WORDS = 200  # of a text to link; a name has a few, and the encoder cuts long before this
_MAX_CHARACTERS = 4000  # the same for texts without spaces


@contextmanager
def answer_model(store: ObjectStore, info: RunInfo, cache: Path) -> Iterator[AnswerModel]:
    """The tuned model of a run, loaded. Raises InputError if the run has none yet."""
    from skutune.serving.answer_model import AnswerModel
    from skutune.serving.catalog_trie import kept_trie

    with tempfile.TemporaryDirectory(prefix="skutune-") as scratch:
        inputs = inputs_of(store, info, ("ingest", "finetune"), Path(scratch))
        config = runs.stage_config(store, info, "finetune")
        pool = _pool(config, inputs.manifest("finetune"), "base", cache)
        products = ((product.id, product.name) for product in inputs.rows("ingest", Product))
        dtype, trie = config.models.base.dtype, kept_trie(inputs)
        if config.stages.finetune.trains_adapter:
            base, adapter = pool.weights("base").path, inputs.folder("finetune", "adapter")
            if base is None:
                raise InputError("models.base: a scripted model cannot answer; use a real model")
            yield AnswerModel.load(base, adapter, products, dtype=dtype, trie=trie)
        else:
            yield AnswerModel.load(inputs.folder("finetune", "model"), None, products, dtype=dtype, trie=trie)


@dataclass(frozen=True, slots=True)
class LoadedLinker:
    """A run's linker with its encoder."""

    linker: Linker
    encoder: Encoder
    settings: LinkConfig


def linker_of(store: ObjectStore, info: RunInfo, cache: Path, precision: float | None = None) -> LoadedLinker:
    """The linker of a run, loaded, at this precision or the run's. Raises InputError if the run has none yet."""
    with tempfile.TemporaryDirectory(prefix="skutune-") as scratch:
        inputs = inputs_of(store, info, ("classify",), Path(scratch))
        linker = linking.load_linker(inputs.folder("classify", "linker"))
        pool = _pool(runs.stage_config(store, info, "classify"), inputs.manifest("classify"), "encoder", cache)
    settings = info.config.stages.link
    if precision is not None:
        settings = settings.model_copy(update={"precision": precision})
    return LoadedLinker(linker, pool.encoder(), settings)


def named_products(store: ObjectStore, info: RunInfo, cache: Path) -> NameResolver:
    """What a run's linker makes of recommendations' names. Raises InputError where the run has none."""
    try:
        loaded = linker_of(store, info, cache)
    except InputError as error:
        raise InputError(f"--linked needs the linker of the run and its encoder: {error}") from error
    return NameResolver(loaded.linker, loaded.encoder, loaded.settings)


def link_texts(loaded: LoadedLinker, texts: Sequence[str], top: int) -> Iterator[dict[str, Any]]:
    """One JSON-ready object a text, in order; `product` is None where no product is close enough."""
    shortened = [" ".join(text[:_MAX_CHARACTERS].split()[:_MAX_WORDS]) for text in texts]
    vectors = loaded.encoder.encode([query_text(text, None) for text in shortened])
    for text, ranked in zip(texts, loaded.linker.rank(shortened, vectors), strict=True):
        says_something = bool(normalise_name(text))
        found = loaded.linker.choose(ranked, loaded.settings).candidates if says_something else []
        shown = range(min(top, len(ranked.products)) if says_something else 0)
        yield {
            "text": text,
            "product": _shown(found[0]) if found else None,
            "candidates": [
                _shown(loaded.linker.candidate(ranked, place)) | {"evidence": loaded.linker.evidence_of(ranked, place)}
                for place in shown
            ],
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


def _pool(config: Config, manifest: Manifest, role: Role, cache: Path) -> ModelPool:
    """The models of a finished stage. Raises InputError where a model is no longer the one that it was made with."""
    pool = ModelPool(config.models, cache)
    made_with = manifest.versions.get(f"{MODEL_VERSION}{role}")
    if made_with is not None and pool.identity(role) != made_with:
        raise InputError(
            f"models.{role}: {getattr(config.models, role).name} is not the model that {manifest.stage} used; "
            "restore that model, or repeat `skutune run`"
        )
    return pool


def _shown(candidate: Any) -> dict[str, Any]:
    return {"id": candidate.id, "name": candidate.name, "p": round(candidate.p, 4)}
