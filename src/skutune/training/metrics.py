"""The figures of a fine-tuning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from skutune.config.schema import FinetuneConfig
from skutune.training.examples import Examples
from skutune.training.flops import training_flops, utilisation
from skutune.training.metrics_callback import MetricsCallback, StepMetrics
from skutune.training.models import device_name
from skutune.training.planning import Plan
from skutune.training.trainer import AnswerTrainer


@dataclass(frozen=True, slots=True)
class FinetuneMetrics:
    """What a fine-tuning did, ready for JSON.

    `model` is the folder of the adapter (or of the whole model) relative to the output. `cut` examples lost the end of
    their answer to `max_length`, `left_out` had no room for any. `steps` were trained, and the weights of `kept_step`
    are the result. `tokens` are without padding; `seconds` are training alone. `first_loss` and `last_loss` are means
    over the first and last tenth of the steps, in nats a token. `utilisation` is the share of the peak of all devices
    that the model's own arithmetic reached (see `flops`), None where model or device are not known. `plan` tells how it
    was done, see `Plan`.
    """

    model: str
    method: str
    dtype: str
    examples: int
    cut: int
    left_out: int
    steps: int
    kept_step: int
    epochs: float
    tokens: int
    seconds: float
    tokens_per_second: float
    device: str
    utilisation: float | None
    trainable_parameters: int
    first_loss: float
    last_loss: float
    validation_examples: int
    validation_losses: list[float]
    resumed_from_step: int | None
    plan: dict[str, Any]


def collect_metrics(
    trainer: AnswerTrainer,
    curves: MetricsCallback,
    examples: Examples,
    held_out: Examples | None,
    config: FinetuneConfig,
    plan: Plan,
    *,
    model: str,
    kept_step: int,
    resumed_from_step: int | None,
) -> FinetuneMetrics:
    """The figures of a training that has ended."""
    losses = [point.loss for point in curves.points if point.loss is not None]
    tenth = max(1, len(losses) // 10)
    last = curves.points[-1]
    return FinetuneMetrics(
        model=model,
        method=config.method,
        dtype=str(plan.numbers).removeprefix("torch."),
        examples=len(examples.rows),
        cut=examples.cut,
        left_out=examples.left_out,
        steps=trainer.state.global_step,
        kept_step=kept_step,
        epochs=config.epochs,
        tokens=last.tokens,
        seconds=last.seconds,
        tokens_per_second=round(last.tokens / max(last.seconds, 1e-9), 1),
        device=device_name(),
        utilisation=_utilisation(trainer, examples, config, plan, last),
        trainable_parameters=trainer.trainable_parameters,
        first_loss=sum(losses[:tenth]) / tenth,
        last_loss=sum(losses[-tenth:]) / tenth,
        validation_examples=len(held_out.rows) if held_out else 0,
        validation_losses=[point.validation_loss for point in curves.points if point.validation_loss is not None],
        resumed_from_step=resumed_from_step,
        plan=plan.figures(),
    )


def _utilisation(
    trainer: AnswerTrainer, examples: Examples, config: FinetuneConfig, plan: Plan, last: StepMetrics
) -> float | None:
    """See `flops`; the steps that were trained had examples like those of the whole set."""
    model = trainer.accelerator.unwrap_model(trainer.model).config
    flops = training_flops(model, config.lora_rank if config.trains_adapter else None)
    if flops is None or plan.numbers.itemsize != 2:  # peaks are those of 16 bits
        return None
    passes = last.tokens / examples.tokens
    done = flops.of(examples.lengths, examples.taught) * passes
    return utilisation(done, last.seconds, device_name(), plan.processes)
