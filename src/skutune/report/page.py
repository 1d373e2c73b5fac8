"""The page: what it shows as one value, and its rendering. Every text of a catalog or model is escaped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from skutune.evaluation.intervals import Difference
from skutune.evaluation.rates import Rate
from skutune.records import Example
from skutune.report import charts, formatting
from skutune.report.answers import Sample, Segment
from skutune.report.classifier import Classifying
from skutune.report.coverage import CoverageFigures
from skutune.report.evaluation import SYSTEMS, Evaluation
from skutune.report.figures import flatten
from skutune.report.linking import Linking
from skutune.report.losses import Losses
from skutune.report.pipeline import RejectedSample, StageCost

SPLITS = {
    "held_out_product": "about products never trained",
    "held_out_question": "about trained products, worded anew",
    "train": "of trained products",
}
_TOLD_ELSEWHERE = (  # the page has a place of its own for them
    *("classifier · accuracy ", "classifier · projection", "classifier · why", "classifier · measured"),
    *("calibration · reliability", "calibration · coverage"),
)


@dataclass(frozen=True, slots=True)
class ModelLine:
    """One of the run's models; `identity` is what its weights are, where a stage used any."""

    role: str
    name: str
    revision: str | None
    identity: str | None


@dataclass(frozen=True, slots=True)
class ShownExample:
    """A training example with its completion marked up."""

    example: Example
    completion: list[Segment]


@dataclass(frozen=True, slots=True)
class Headline:
    """One of the figures at the top."""

    label: str
    value: str
    note: str


@dataclass(frozen=True, slots=True)
class Page:
    """All that the report shows. `figures` are the stages' own, by stage; lists are capped by who fills them."""

    run: str
    catalog: str
    made: datetime
    models: list[ModelLine]
    figures: Mapping[str, Mapping[str, Any]]
    questions: int
    stages: list[StageCost]
    versions: Mapping[str, str]
    evaluation: Evaluation
    samples: list[Sample]
    losses: Losses
    linking: Linking
    classifying: Classifying
    precision: float
    coverage: CoverageFigures
    min_examples: int
    examples: list[ShownExample]
    rejected: list[RejectedSample]

    @property
    def products(self) -> int:
        """Products of the catalog."""
        return self.coverage.recommended.trials

    def examples_of(self, split: str, kind: str = "") -> int:
        """Examples of a split (the start of its name is enough) and kind, as compose counted them."""
        counted: Mapping[str, int] = self.figures["compose"].get("examples", {})
        return sum(n for name, n in counted.items() if name.startswith(split) and name.endswith(kind))

    def headlines(self) -> Iterator[Headline]:
        """The figures at the top."""
        yield Headline("products", formatting.whole(self.products), f"{self.coverage.held_out:,} of them held out")
        yield Headline("questions", formatting.whole(self.questions), "generated and accepted")
        answers = self.examples_of("train", "answer")
        trained = self.examples_of("train")
        yield Headline(
            "training examples", formatting.whole(trained), f"answers: {answers:,}, descriptions: {trained - answers:,}"
        )
        yield Headline("held-out examples", formatting.whole(self.examples_of("held_out")), "not trained on")
        linked = self.linking.recommendations
        yield Headline("recommendations linked", formatting.percent(linked.rate), _of(linked))
        covered = self.coverage.covered
        enough = f"{_of(covered)} products with {self.min_examples} questions or more"
        yield Headline("coverage", formatting.percent(covered.rate), enough)

    def other_figures(self, stage: str) -> list[tuple[str, str]]:
        """A stage's own figures, flat."""
        flat = flatten(self.figures[stage])
        return [(path, formatting.figure(value)) for path, value in flat if not path.startswith(_TOLD_ELSEWHERE)]

    def evaluation_losses(self) -> list[tuple[str, str]]:
        """Losses of base and tuned model on held-out answers."""
        losses = self.figures["evaluate"].get("loss") or {}
        return [(path, formatting.figure(value)) for path, value in flatten(losses)]

    def loss_chart(self) -> Markup | None:
        """Training and validation loss by step; None without a point."""
        training, validation = self.losses.training, self.losses.validation
        if not training and not validation:
            return None
        lines = [
            charts.Series("training", "training", charts.thinned(training)),
            charts.Series("validation", "validation", validation),
        ]
        return charts.curves(lines, "optimizer step", "loss in nats per token")

    def link_chart(self) -> Markup | None:
        """Distinct names by P(acceptable); None without a name."""
        if not self.linking.names.trials:
            return None
        return charts.histogram(self.linking.bins, "P(acceptable) of the best candidate", "distinct names")

    def reliability_chart(self) -> Markup | None:
        """The share of right pairs by P(acceptable); None where too few were held out."""
        measured = [(row.p, row.acceptable, row.names) for row in self.classifying.reliability]
        if not measured:
            return None
        return charts.reliability(measured, "predicted P(acceptable)", "observed share acceptable")

    def precision_chart(self) -> Markup | None:
        """What each wanted precision would link; None where too few names were held out."""
        rows = self.classifying.operating
        if not rows:
            return None
        lines = [
            charts.Series("precision", "training", [(row.wanted, row.precision) for row in rows]),
            charts.Series("share of names linked", "validation", [(row.wanted, row.coverage) for row in rows]),
        ]
        return charts.shares(lines, self.precision, "target precision", "share")

    def coverage_chart(self) -> Markup | None:
        """Products by trained questions; None where all are held out."""
        if not self.coverage.bins:
            return None
        return charts.histogram(self.coverage.bins, "training questions", "products", whole=True)


def render(page: Page) -> str:
    """The page as HTML that needs nothing else."""
    environment = Environment(
        loader=PackageLoader("skutune", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        whole=formatting.whole,
        percent=formatting.percent,
        duration=formatting.duration,
        size=formatting.size,
        interval=charts.interval,
        of=_of,
        range=_range,
        points=_points,
    )
    style = Markup(files("skutune.report").joinpath("report.css").read_text(encoding="utf-8"))
    return environment.get_template("report.html").render(page=page, style=style, splits=SPLITS, systems=SYSTEMS)


def _of(rate: Rate) -> str:
    return f"{rate.hits:,} of {rate.trials:,}"


def _range(rate: Rate) -> str:
    """The 95 % interval in words."""
    return formatting.NOTHING if rate.rate is None else formatting.percent_range(rate.low, rate.high)


def _points(difference: Difference) -> str:
    """A difference of shares in percentage points, with its interval: +40.0 (20.1 to 60.2)."""
    if difference.value is None:
        return formatting.NOTHING
    value, low, high = (100 * each for each in (difference.value, difference.low, difference.high))
    return f"{value:+.1f} ({low:+.1f} to {high:+.1f})"
