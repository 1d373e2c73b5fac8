"""Train the classifier over products, build the lexical index and calibrate P(acceptable)."""

from __future__ import annotations

from skutune import linking
from skutune.pipeline.stage_io import Outputs
from skutune.records import Embedding, Product
from skutune.stages.base import Context


class Classify:
    """Embeddings → the linker, saved under `linker/`."""

    def __init__(self, context: Context) -> None:
        self.context, self.config = context, context.config.stages.classify

    def run(self, outputs: Outputs) -> None:
        products = list(self.context.inputs.rows("ingest", Product))
        embeddings = self.context.inputs.rows("embed", Embedding)
        linker, figures = linking.fit_linker(products, embeddings, self.config, self.context.encoder())
        folder = self.context.scratch / "linker"
        linking.save_linker(linker, folder)
        outputs.folder("linker", folder)
        outputs.figures.update(figures)
