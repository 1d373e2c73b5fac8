"""Fine-tune the base model on the training examples; writes `adapter/` or `model/`, and what `tuned` adds."""

from __future__ import annotations

import logging
from dataclasses import asdict
from pathlib import Path

from skutune.errors import InputError, RetryableError, SkutuneError
from skutune.stages.base import Context, Outputs
from skutune.stages.catalog_trie import TRIE, write_trie
from skutune.stages.checkpoints import Limit
from skutune.stages.tuned import EVENTS, MERGED, base_name, complete
from skutune.stages.uploads import Uploads
from skutune.training.curves import StepMetrics
from skutune.training.disk import full_disk_told
from skutune.training.figures import FinetuneFigures
from skutune.training.sft import MemoryExhaustedError, finetune

_log = logging.getLogger(__name__)


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
            raise self._lowered(Limit(error.examples, error.checkpointing)) from error
        if self.context.team.rank:
            return
        with full_disk_told("what belongs to the weights", work):
            complete(self.context, figures, work)
            write_trie(self.context.inputs, self.context.base(), work / figures.model, work / TRIE)
        for folder in (figures.model, MERGED, EVENTS):
            if (work / folder).is_dir():
                outputs.folder(folder, work / folder)
        outputs.file("metrics.jsonl", work / "metrics.jsonl")
        outputs.figures.update(asdict(figures))
        outputs.folder(TRIE, work / TRIE)
        self.context.checkpoints.clear()

    def _train(self, limit: Limit, work: Path, uploads: Uploads) -> FinetuneFigures:
        base, models = self.context.base(), self.context.config.models
        earlier = self.context.scratch / "earlier"
        self.context.checkpoints.restore(earlier)
        return finetune(
            base,
            self.context.inputs.file("compose", "train.jsonl"),
            self.context.inputs.file("compose", "validation.jsonl"),
            self.config.model_copy(update={"micro_batch_size": limit.micro_batch_size}),
            work,
            base_name=base_name(models.base.name, self.context.identity("base")),
            dtype=models.base.dtype,
            resume=earlier,
            checkpointing=limit.checkpointing,
            on_step=self._report,
            on_checkpoint=uploads.add,
            on_trained=uploads.finish,
            processes=self.context.team.ranks,
            processes_here=self.context.team.ranks_here,
        )

    def _limit(self) -> Limit:
        """What fits, as the settings have it or as an earlier start found."""
        wanted, limit = self.config.micro_batch_size, self.context.checkpoints.memory_limit()
        if limit is None or (limit.micro_batch_size >= wanted and not limit.checkpointing):
            return Limit(wanted)
        _log.warning(
            "training with %d examples at the same time on a device instead of %d%s, because memory ran out before; a "
            "step still has %d",
            *(limit.micro_batch_size, wanted, ", activations computed twice" if limit.checkpointing else ""),
            self.config.batch_size,
        )
        return limit

    def _lowered(self, failed: Limit) -> SkutuneError:
        """Note what may fit where this did not; the error that says so, or that nothing can."""
        examples = failed.micro_batch_size
        if examples == 1 and failed.checkpointing:
            return InputError(
                "training: a single example does not fit into the device's memory: lower stages.finetune.max_length "
                f"({self.config.max_length}), choose a method that needs less (lora, qlora), or use larger devices"
            )
        limit = Limit(max(1, examples // 2), failed.checkpointing or examples == 1)
        self.context.checkpoints.limit_memory(limit)
        return RetryableError(
            f"training: out of memory with {examples} examples at the same time on a device; the next start "
            f"{'takes' if examples > 1 else 'computes activations twice, takes'} {limit.micro_batch_size} and goes on "
            f"from the last checkpoint, with {self.config.batch_size} examples a step as before"
        )

    def _report(self, point: StepMetrics) -> None:
        if point.loss is not None:  # a validation trains nothing
            self.context.report("epochs", point.epoch, self.config.epochs, point.tokens_per_second)
