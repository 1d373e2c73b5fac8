"""Output, rejects and cost of each stage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from skutune.pipeline.graph import Stage
from skutune.pipeline.manifests import Manifest
from skutune.pipeline.rejections import reason_kind

_REASONS = 3


@dataclass(frozen=True, slots=True)
class RowOutcome:
    """The one column of a table that says whether its row is used; read alone, where a table has millions of rows."""

    rejected: str | None


@dataclass(frozen=True, slots=True)
class StageCost:
    """One row of the pipeline table.

    `rows` is None for a stage that writes files alone. `seconds` are those of all shards together, and
    `tokens_per_second` the generated tokens of one shard, or those that a training trained on. `reasons` are the
    commonest kinds of reasons with their counts; `further` rejected rows have other ones.
    """

    step: int
    name: str
    title: str
    rows: int | None
    rejected: int
    reasons: tuple[tuple[str, int], ...]
    further: int
    prompt_tokens: int
    completion_tokens: int
    tokens_per_second: float | None
    seconds: float
    items: int
    reused: int
    peak_memory_bytes: int


@dataclass(frozen=True, slots=True)
class RejectedSample:
    """A rejected row, as a sample of its kind of reason."""

    stage: str
    row: str
    reason: str
    text: str


def count_reasons(outcomes: Iterable[RowOutcome]) -> Counter[str]:
    """The frequency of each kind of reason."""
    return Counter(reason_kind(outcome.rejected) for outcome in outcomes if outcome.rejected is not None)


def stage_cost(stage: Stage, manifest: Manifest, reasons: Counter[str]) -> StageCost:
    """The cost of a stage from its manifest, with the reasons counted from its rows."""
    stats = manifest.stats
    rejected = sum(reasons.values())
    common = tuple(reasons.most_common(_REASONS))
    return StageCost(
        step=stage.step,
        name=stage.name,
        title=stage.title,
        rows=manifest.rows() if manifest.parts() else None,
        rejected=rejected,
        reasons=common,
        further=rejected - sum(count for _, count in common),
        prompt_tokens=stats.prompt_tokens,
        completion_tokens=stats.completion_tokens,
        tokens_per_second=manifest.tokens_per_second,
        seconds=stats.seconds,
        items=stats.items,
        reused=stats.reused,
        peak_memory_bytes=stats.peak_memory_bytes,
    )


def one_a_kind(samples: Iterable[RejectedSample], most: int) -> list[RejectedSample]:
    """The first sample of each kind of reason, `most` kinds at most."""
    found: dict[str, RejectedSample] = {}
    for sample in samples:
        found.setdefault(reason_kind(sample.reason), sample)
        if len(found) == most:
            break
    return list(found.values())
