"""What makes weights a model for others: which base they belong to, a card, curves to look at, a merged copy."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from skutune import model_names
from skutune.stages.base import Context
from skutune.training.adapters import note_base
from skutune.training.card import Provenance, render_card
from skutune.training.curves import read_points
from skutune.training.events import write_events
from skutune.training.figures import FinetuneFigures
from skutune.training.merge import merge

CARD, EVENTS, MERGED = "README.md", "tensorboard", "merged"


def complete(context: Context, figures: FinetuneFigures, work: Path) -> None:
    """Add to the weights in `work` what belongs to them; afterwards all that lies there but checkpoints is a result.

    Args:
        context: of the stage that trained.
        figures: of the training; its `model` is the folder of the weights.
        work: holds them and `metrics.jsonl`; gets `tensorboard/` and, where it was asked for, `merged/`.

    Raises:
        InputError: the adapter cannot be merged into its base.
    """
    folder, config = work / figures.model, context.config.stages.finetune
    found = _provenance(context)
    if config.trains_adapter:
        note_base(folder, context.base(), found.base)
        if config.merge:
            merge(context.base(), folder, work / MERGED, context.config.models.base.dtype)
            (work / MERGED / CARD).write_text(render_card(found, config, figures, is_adapter=False), encoding="utf-8")
    card = render_card(found, config, figures, is_adapter=config.trains_adapter)
    (folder / CARD).write_text(card, encoding="utf-8")
    write_events(read_points(work / "metrics.jsonl"), work / EVENTS)


def base_name(name: str, identity: str) -> str:
    """What an adapter says that its base is: the hub name, or a folder's last part (paths differ between machines).

    A hub model's identity begins with its name, also where pods read the model from a mirror.
    """
    hub_name, at, _ = identity.rpartition("@")
    if at:
        return hub_name
    return Path(name).name if model_names.is_folder(name) else name


def _provenance(context: Context) -> Provenance:
    models, identity = context.config.models, context.identity("base")
    made = context.inputs.manifest("compose").figures
    data = {"products": made.get("products", 0), "of these held out wholly": made.get("held_out_products", 0)}
    kinds = {
        f"examples, {name.replace('/', ', ').replace('_', ' ')}": n for name, n in made.get("examples", {}).items()
    }
    scripted = model_names.is_scripted(models.generator)
    return Provenance(
        run=context.config.run,
        base=base_name(models.base.name, identity),
        identity=identity,
        generator="the scripted engine, no LLM" if scripted else base_name(models.generator.name, ""),
        data={name: count for name, count in {**data, **kinds}.items() if count},
        version=version("skutune"),
    )
