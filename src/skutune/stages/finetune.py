"""Fine-tune the base model on the training examples; writes `adapter/` or `model/`, and `metrics.jsonl`."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path

from skutune import model_names
from skutune.stages.base import Context, Outputs
from skutune.training.curves import StepMetrics
from skutune.training.sft import finetune


class Finetune:
    """Examples → adapter (or whole model). Goes on from the newest checkpoint in the store.

    Of several processes that train together each reads its inputs, and the first writes what comes out.
    """

    def __init__(self, context: Context) -> None:
        self.context, self.config = context, context.config.stages.finetune

    def run(self, outputs: Outputs) -> None:
        base, models = self.context.base(), self.context.config.models
        work, earlier = self.context.scratch / "finetune", self.context.scratch / "earlier"
        work.mkdir()
        name = self.context.checkpoints.restore(earlier)
        if name is not None:
            shutil.move(earlier / name / "metrics.jsonl", work / "metrics.jsonl")
        figures = finetune(
            base,
            self.context.inputs.file("compose", "train.jsonl"),
            self.context.inputs.file("compose", "validation.jsonl"),
            self.config,
            work,
            base_name=base_name(models.base.name, self.context.identity("base")),
            dtype=models.base.dtype,
            resume=earlier if name else None,
            on_step=self._report,
            on_checkpoint=None if self.context.rank else lambda path: self._keep(path, work / "metrics.jsonl"),
        )
        if self.context.rank:
            return
        outputs.folder(figures.model, work / figures.model)
        outputs.file("metrics.jsonl", work / "metrics.jsonl")
        outputs.figures.update(asdict(figures))
        self.context.checkpoints.clear()

    def _keep(self, checkpoint: Path, metrics: Path) -> None:
        """A checkpoint holds the curves up to it, so that a resumed run has them whole."""
        shutil.copyfile(metrics, checkpoint / "metrics.jsonl")
        self.context.checkpoints.save(checkpoint, checkpoint.name)

    def _report(self, point: StepMetrics) -> None:
        if point.loss is not None:  # a validation trains nothing
            self.context.report("epochs", point.epoch, self.config.epochs, point.tokens_per_second)


def base_name(name: str, identity: str) -> str:
    """What an adapter says that its base is: the hub name, or a folder's last part (paths differ between machines).

    A hub model's identity begins with its name, also where pods read the model from a mirror.
    """
    hub_name, at, _ = identity.rpartition("@")
    if at:
        return hub_name
    return Path(name).name if model_names.is_folder(name) else name
