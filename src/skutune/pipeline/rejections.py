"""Rejected rows of a stage: their reasons by kind, and whether enough rows are left to go on."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from skutune.config.schema import Config, GenerationConfig
from skutune.pipeline.manifests import Manifest

KEPT_REASONS = 5
"""Kinds of reasons that the manifest of a part keeps."""

_QUOTED = re.compile(r"(?<!\w)(['\"]).*?\1(?!\w)", re.DOTALL)  # not the apostrophe in a word
_NUMBER = re.compile(r"\d[\d,]{2,}")


def reason_kind(reason: str) -> str:
    """A reason without its quoted parts and large numbers, which belong to one row."""
    return _NUMBER.sub("…", _QUOTED.sub("…", reason))[:120]


def count_reasons(reasons: Iterable[str | None]) -> Counter[str]:
    """The number of rejected rows by kind of reason; None is a row that was kept."""
    return Counter(reason_kind(reason) for reason in reasons if reason is not None)


def too_few_rows(stage: str, config: Config, manifest: Manifest) -> str | None:
    """Why a completed stage ends the run: it kept no row, or a smaller share than its `min_kept`; None if it does not.

    A stage without rows has rejected none.
    """
    rows = manifest.rows()
    kept = rows - manifest.rejected()
    settings = getattr(config.stages, stage, None)
    wanted = settings.min_kept if isinstance(settings, GenerationConfig) else 0.0
    if rows == 0 or (kept > 0 and kept >= wanted * rows):
        return None
    reasons = "; ".join(f"{count:,} × {reason}" for reason, count in manifest.reasons().most_common(KEPT_REASONS))
    limit = f", less than stages.{stage}.min_kept ({wanted:.0%})" if wanted else ""
    return (
        f"{stage} kept {kept:,} of {rows:,} rows{limit}; the run ends before later stages use them. Rejected: "
        f"{reasons or 'for unknown reasons'}. Read some with `skutune explain`; then change the model, its settings or "
        "the catalog, or lower the limit"
    )
