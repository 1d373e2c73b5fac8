"""Mirror the weights of hub models into the store. Runs on clusters only, before all other stages.

It does not need torch. Its output is the manifest's figures: the name under which pods find each model, and the
identity of its weights, which equals the one that a local run computes for the same model.
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
    """Config → `{"models": {role: {"name": …, "identity": …}}}`, stored as the manifest's figures."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def run(self, outputs: Outputs) -> None:
        model_name.check_pinned(self.context.config, self.context.models)
        models: dict[str, dict[str, str]] = {}
        for role, model in self.context.config.models:
            if model is None or role not in self.context.models:  # unused in this run
                continue
            name = self._name(model, outputs)
            located = locate(model.model_copy(update={"name": name}), self.context.scratch)
            models[role] = {"name": name, "identity": model_identity(model, located)}
        outputs.figures["models"] = models

    def _name(self, model: ModelConfig, outputs: Outputs) -> str:
        """The name for pods: the mirror of a hub model; folders and prefixes are not copied."""
        if model_name.is_scripted(model) or not model_name.is_hub(model.name):
            return model.name
        scratch = self.context.scratch / "hub"
        prefix = mirror(model, outputs.store, scratch, lambda done, total: self.context.report("MiB", done, total))
        return f"{outputs.store.uri}/{prefix}"
