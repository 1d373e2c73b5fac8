"""Mirror the weights of hub models into the store: before all other stages, on a cluster only.

It needs no torch. What it writes are figures: under which name every pod finds each model, and which identity the model
has, the same that a laptop computes for the same model.
"""

from __future__ import annotations

from skutune.config import model_name
from skutune.config.schema import ModelConfig
from skutune.engines import model_identity
from skutune.engines.weights.locate import locate
from skutune.engines.weights.mirror import mirror
from skutune.pipeline.stage_io import Outputs
from skutune.stages.base import Context


class Models:
    """Config → `{"models": {role: {"name": what pods use, "identity": which weights}}}` as the manifest's figures."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def run(self, outputs: Outputs) -> None:
        model_name.check_pinned(self.context.config, self.context.models)
        found: dict[str, dict[str, str]] = {}
        for role, model in self.context.config.models:
            if model is None or role not in self.context.models:  # no stage of this run uses it
                continue
            name = self._name(model, outputs)
            located = locate(model.model_copy(update={"name": name}), self.context.scratch)
            found[role] = {"name": name, "identity": model_identity(model, located)}
        outputs.figures["models"] = found

    def _name(self, model: ModelConfig, outputs: Outputs) -> str:
        """What pods use: a hub model's mirror; a folder or prefix stays where it is."""
        if model_name.is_scripted(model) or not model_name.is_hub(model.name):
            return model.name
        scratch = self.context.scratch / "hub"
        prefix = mirror(model, outputs.store, scratch, lambda done, total: self.context.report("MiB", done, total))
        return f"{outputs.store.uri}/{prefix}"
