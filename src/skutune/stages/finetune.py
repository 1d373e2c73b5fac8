"""Fine-tune the base model on the training examples; writes `adapter/` or `model/`, a model card and the curves."""

from __future__ import annotations

import logging
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from skutune.config import model_name
from skutune.errors import InputError, RetryableError, SkutuneError
from skutune.pipeline.stage_io import Outputs
from skutune.serving.catalog_trie import TRIE, write_trie
from skutune.stages.base import Context
from skutune.training.adapters import note_base
from skutune.training.checkpoint_store import MemoryLimit
from skutune.training.checkpoint_upload import Uploads
from skutune.training.disk_full import disk_full_as_retryable
from skutune.training.merge import merge
from skutune.training.metrics import FinetuneMetrics
from skutune.training.metrics_callback import StepMetrics, read_points
from skutune.training.model_card import Provenance, render_card
from skutune.training.sft import MemoryExhaustedError, finetune
from skutune.training.tensorboard import write_events

_log = logging.getLogger(__name__)
CARD, EVENTS, MERGED = "README.md", "tensorboard", "merged"


class Finetune:
    """Examples → adapter (or whole model). Goes on from the newest checkpoint in the store.

    Of several processes that train together each reads its inputs, and the first writes what comes out.
    """

    def __init__(self, context: Context) -> None:
        self.context, self.config = context, context.config.stages.finetune

    def run(self, outputs: Outputs) -> None:
        work = self.context.scratch / "finetune"
        work.mkdir()
        limit = self._limit()
        try:
            with Uploads(self.context.checkpoints, self.context.scratch / "uploads") as uploads:
                figures = self._train(limit, work, uploads)
        except MemoryExhaustedError as error:
            raise self._lowered(MemoryLimit(error.examples, error.checkpointing)) from error
        if self.context.process_group.rank:
            return
        with disk_full_as_retryable("what belongs to the weights", work):
            finish_model_folder(self.context, figures, work)
            write_trie(self.context.inputs, self.context.base(), work / figures.model, work / TRIE)
        for folder in (figures.model, MERGED, EVENTS):
            if (work / folder).is_dir():
                outputs.folder(folder, work / folder)
        outputs.file("metrics.jsonl", work / "metrics.jsonl")
        outputs.figures.update(asdict(figures))
        outputs.folder(TRIE, work / TRIE)
        self.context.checkpoints.clear()

    def _train(self, limit: MemoryLimit, work: Path, uploads: Uploads) -> FinetuneMetrics:
        base, models = self.context.base(), self.context.config.models
        earlier = self.context.scratch / "earlier"
        self.context.checkpoints.restore(earlier)
        return finetune(
            base,
            self.context.inputs.file("compose", "train.jsonl"),
            self.context.inputs.file("compose", "validation.jsonl"),
            self.config.model_copy(update={"micro_batch_size": limit.micro_batch_size}),
            work,
            base_name=base_reference(models.base.name, self.context.identity("base")),
            dtype=models.base.dtype,
            resume=earlier,
            checkpointing=limit.checkpointing,
            on_step=self._report,
            on_checkpoint=uploads.add,
            on_trained=uploads.finish,
            processes=self.context.process_group.world_size,
            processes_here=self.context.process_group.local_world_size,
        )

    def _limit(self) -> MemoryLimit:
        """The micro-batch from the settings, or from the limit that an earlier start recorded."""
        wanted, limit = self.config.micro_batch_size, self.context.checkpoints.memory_limit()
        if limit is None or (limit.micro_batch_size >= wanted and not limit.checkpointing):
            return MemoryLimit(wanted)
        _log.warning(
            "training with a micro-batch of %d instead of %d%s, because memory ran out before; the batch size is "
            "still %d",
            *(limit.micro_batch_size, wanted, " and gradient checkpointing" if limit.checkpointing else ""),
            self.config.batch_size,
        )
        return limit

    def _lowered(self, failed: MemoryLimit) -> SkutuneError:
        """Record what may fit instead. Returns the error to raise."""
        examples = failed.micro_batch_size
        if examples == 1 and failed.checkpointing:
            return InputError(
                "training: a single example does not fit into device memory: lower stages.finetune.max_length "
                f"({self.config.max_length}), choose a method that needs less (lora, qlora), or use larger devices"
            )
        limit = MemoryLimit(max(1, examples // 2), failed.checkpointing or examples == 1)
        self.context.checkpoints.limit_memory(limit)
        return RetryableError(
            f"training: out of memory with a micro-batch of {examples}; the next start uses {limit.micro_batch_size}"
            f"{'' if examples > 1 else ' with gradient checkpointing'} and resumes from the last checkpoint; the batch "
            f"size stays {self.config.batch_size}"
        )

    def _report(self, point: StepMetrics) -> None:
        if point.loss is not None:  # a validation trains nothing
            self.context.report("epochs", point.epoch, self.config.epochs, point.tokens_per_second)


def finish_model_folder(context: Context, figures: FinetuneMetrics, work: Path) -> None:
    """Add to the weights in `work` what belongs to them; afterwards all that lies there but checkpoints is a result.

    Args:
        context: of the stage that trained.
        figures: of the training; its `model` is the folder of the weights.
        work: holds them and `metrics.jsonl`; gets `tensorboard/` and, where it was asked for, `merged/`.

    Raises:
        InputError: the adapter cannot be merged into its base.
    """
    folder, config = work / figures.model, context.config.stages.finetune
    provenance = _provenance(context)
    if config.trains_adapter:
        note_base(folder, context.base(), provenance.base)
        if config.merge:
            merge(context.base(), folder, work / MERGED, context.config.models.base.dtype)
            (work / MERGED / CARD).write_text(
                render_card(provenance, config, figures, is_adapter=False), encoding="utf-8"
            )
    card = render_card(provenance, config, figures, is_adapter=config.trains_adapter)
    (folder / CARD).write_text(card, encoding="utf-8")
    write_events(read_points(work / "metrics.jsonl"), work / EVENTS)


def base_reference(name: str, identity: str) -> str:
    """The base model in an adapter's config, from which PEFT and servers load it: a hub name, path or prefix.

    A hub model's identity begins with its name, also where pods read the model from a mirror.
    """
    hub_name, at, _ = identity.rpartition("@")
    return hub_name if at else name


def base_name(name: str, identity: str) -> str:
    """The name of a base model in a model card: as its reference, but of a folder only the last part."""
    reference = base_reference(name, identity)
    return Path(reference).name if model_name.is_folder(reference) else reference


def _provenance(context: Context) -> Provenance:
    models, identity = context.config.models, context.identity("base")
    figures = context.inputs.manifest("compose").figures
    data = {"products": figures.get("products", 0), "of these held out wholly": figures.get("held_out_products", 0)}
    kinds = {
        f"examples, {name.replace('/', ', ').replace('_', ' ')}": n for name, n in figures.get("examples", {}).items()
    }
    scripted = model_name.is_scripted(models.generator)
    return Provenance(
        run=context.config.run,
        base=base_name(models.base.name, identity),
        identity=identity,
        generator="the scripted engine, no LLM" if scripted else base_name(models.generator.name, ""),
        data={name: count for name, count in {**data, **kinds}.items() if count},
        version=version("skutune"),
    )
