"""Read the user's catalog into products, bucketed by id; rejected rows are kept with the reason."""

from __future__ import annotations

import math

from skutune import catalog
from skutune.errors import InputError
from skutune.hashing import bucket_hash
from skutune.pipeline.stage_io import Outputs
from skutune.pipeline.tables import Partitioner
from skutune.records import Product, Reject
from skutune.stages.base import Context

_MAX_REJECTS_STORED = 100_000


class Ingest:
    """Catalog file → products, and the table `rejects`."""

    def __init__(self, context: Context, buckets: int | None) -> None:
        self.config, self.source, self.buckets, self.report = (
            context.config.catalog,
            context.source,
            buckets,
            context.report,
        )

    def run(self, outputs: Outputs) -> None:
        path = self.source()
        products, rejects = Partitioner(Product), []
        count = rejected = 0
        reader = catalog.read(path, self.config)
        for row in reader:
            if isinstance(row, Reject):
                rejected += 1
                if rejected <= _MAX_REJECTS_STORED:
                    rejects.append(row)
                continue
            products.add(row, bucket_hash(row.id))
            count += 1
            if count % 1000 == 0:
                self.report("products", count, 0)
        catalog.raise_if_rejected(rejects, rejected, count + rejected, self.config, path)
        if count == 0:
            raise InputError(f"{path}: contains no products")
        outputs.buckets = self.buckets or self.config.buckets or default_buckets(count)
        for part, table in products.parts(outputs.buckets):
            outputs.arrow_part(part, table)
        outputs.part(Reject, 0, rejects, "rejects")
        outputs.figures.update(products=count, rejected=rejected, buckets=outputs.buckets, dialect=reader.dialect)
        outputs.figures["changes"] = {note.value: rows for note, rows in reader.notes.counts.items()}


def default_buckets(products: int) -> int:
    """The square root of the number of products, from 1 to 4096: 4 buckets for 16 products, 224 for 50,000."""
    return max(1, min(4096, round(math.sqrt(products))))
