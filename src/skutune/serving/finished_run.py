"""Loads the tuned model and the linker of a finished run."""

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

_MAX_WORDS = 200  # of a text to link; a name has a few words, and the encoder truncates long before this
_MAX_CHARACTERS = 4000  # for texts without spaces


@contextmanager
def answer_model(store: ObjectStore, info: RunInfo, cache: Path) -> Iterator[AnswerModel]:
    """Load the tuned model of a run. Raises InputError if there is none yet."""
    from skutune.serving.answer_model import AnswerModel
    from skutune.serving.catalog_trie import load_trie

    with tempfile.TemporaryDirectory(prefix="skutune-") as scratch:
        inputs = stage_inputs(store, info, ("ingest", "finetune"), Path(scratch))
        config = runs.stage_config(store, info, "finetune")
        pool = _model_pool(config, inputs.manifest("finetune"), "base", cache)
        products = ((product.id, product.name) for product in inputs.rows("ingest", Product))
        dtype, trie = config.models.base.dtype, load_trie(inputs)
        if config.stages.finetune.trains_adapter:
            base, adapter = pool.weights("base").path, inputs.folder("finetune", "adapter")
            if base is None:
                raise InputError("models.base: a scripted model cannot answer; use a real model")
            yield AnswerModel.load(base, adapter, products, dtype=dtype, trie=trie)
        else:
            yield AnswerModel.load(inputs.folder("finetune", "model"), None, products, dtype=dtype, trie=trie)


@dataclass(frozen=True, slots=True)
class LoadedLinker:
    """A run's linker with its encoder and settings."""

    linker: Linker
    encoder: Encoder
    settings: LinkConfig


def load_run_linker(store: ObjectStore, info: RunInfo, cache: Path, precision: float | None = None) -> LoadedLinker:
    """Load the linker of a run; `precision` overrides the configured one. Raises InputError if there is none yet."""
    with tempfile.TemporaryDirectory(prefix="skutune-") as scratch:
        inputs = stage_inputs(store, info, ("classify",), Path(scratch))
        linker = linking.load_linker(inputs.folder("classify", "linker"))
        pool = _model_pool(runs.stage_config(store, info, "classify"), inputs.manifest("classify"), "encoder", cache)
    settings = info.config.stages.link
    if precision is not None:
        settings = settings.model_copy(update={"precision": precision})
    return LoadedLinker(linker, pool.encoder(), settings)


def load_name_resolver(store: ObjectStore, info: RunInfo, cache: Path) -> NameResolver:
    """Load the linker of a run as a name resolver. Raises InputError if there is none yet."""
    try:
        loaded = load_run_linker(store, info, cache)
    except InputError as error:
        raise InputError(f"--linked needs the linker of the run and its encoder: {error}") from error
    return NameResolver(loaded.linker, loaded.encoder, loaded.settings)


def link_texts(loaded: LoadedLinker, texts: Sequence[str], top: int) -> Iterator[dict[str, Any]]:
    """Yield one JSON-serializable result per text, in order; `product` is None if no product is close enough."""
    shortened = [" ".join(text[:_MAX_CHARACTERS].split()[:_MAX_WORDS]) for text in texts]
    vectors = loaded.encoder.encode([query_text(text, None) for text in shortened])
    for text, ranked in zip(texts, loaded.linker.rank(shortened, vectors), strict=True):
        has_content = bool(normalise_name(text))
        candidates = loaded.linker.choose(ranked, loaded.settings).candidates if has_content else []
        ranks = range(min(top, len(ranked.products)) if has_content else 0)
        yield {
            "text": text,
            "product": _candidate_fields(candidates[0]) if candidates else None,
            "candidates": [
                _candidate_fields(loaded.linker.candidate(ranked, rank))
                | {"evidence": loaded.linker.evidence_of(ranked, rank)}
                for rank in ranks
            ],
        }


def stage_inputs(store: ObjectStore, info: RunInfo, stages: Sequence[str], scratch: Path) -> Inputs:
    """The outputs of these stages of a run. Raises InputError if a stage is not completed."""
    outputs = {stage: runs.stage_output(store, info, stage) for stage in stages}
    return Inputs(
        store,
        {stage: folder for stage, (folder, _) in outputs.items()},
        {stage: manifest for stage, (_, manifest) in outputs.items()},
        scratch,
    )


def _model_pool(config: Config, manifest: Manifest, role: Role, cache: Path) -> ModelPool:
    """The models of a finished stage. Raises InputError if the model of the role has changed since."""
    pool = ModelPool(config.models, cache)
    recorded = manifest.versions.get(f"{MODEL_VERSION}{role}")
    if recorded is not None and pool.identity(role) != recorded:
        raise InputError(
            f"models.{role}: {getattr(config.models, role).name} is not the model that {manifest.stage} used; "
            "restore that model, or repeat `skutune run`"
        )
    return pool


def _candidate_fields(candidate: Any) -> dict[str, Any]:
    return {"id": candidate.id, "name": candidate.name, "p": round(candidate.p, 4)}
