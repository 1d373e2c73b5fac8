"""Read the user's catalog into products, bucketed by id; what is no product is kept with its reason."""

from __future__ import annotations

import math

from skutune import catalog
from skutune.errors import InputError
from skutune.hashing import bucket_hash
from skutune.pipeline.stage_io import Outputs
from skutune.pipeline.tables import Partitioner
from skutune.records import Product, Reject
from skutune.stages.base import Context

_REJECTS_KEPT = 100_000


class Ingest:
    """The catalog file → products, and a table `rejects`."""

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
        for row in catalog.read(path, self.config.columns):
            if isinstance(row, Reject):
                rejected += 1
                if rejected <= _REJECTS_KEPT:
                    rejects.append(row)
                continue
            products.add(row, bucket_hash(row.id))
            count += 1
            if count % 1000 == 0:
                self.report("products", count, 0)
        catalog.raise_if_rejected(rejects, self.config.max_rejects, path, rejected)
        if count == 0:
            raise InputError(f"{path}: holds no products")
        outputs.buckets = self.buckets or self.config.buckets or default_buckets(count)
        for part, table in products.parts(outputs.buckets):
            outputs.arrow_part(part, table)
        outputs.part(Reject, 0, rejects, "rejects")
        outputs.figures.update(products=count, rejected=rejected, buckets=outputs.buckets)


def default_buckets(products: int) -> int:
    """The square root of the number of products: 4 parts for 16 products, 223 for 50,000."""
    return max(1, min(4096, round(math.sqrt(products))))
