"""The charts of the report as inline SVG: histograms, curves, and shares with their intervals.

Colours are classes of the page's style sheet, so that light, dark and print each have their own. A chart is drawn 400
units wide, about what a phone shows, so that its labels stay legible there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from skutune.evaluation.rates import Rate
from skutune.report.figures import Bin
from skutune.report.formatting import compact, percent

_WIDTH, _HEIGHT = 400.0, 210.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 42.0, 10.0, 12.0, 38.0


@dataclass(frozen=True, slots=True)
class Series:
    """A line of a chart: points (x, y) in ascending x. `style` is its class in the style sheet."""

    label: str
    style: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class _Axes:
    """The plane of a chart: from 0 (or `low_x`) to `high_x`, and from 0 to `high_y`."""

    low_x: float
    high_x: float
    high_y: float

    def x(self, value: float) -> float:
        span = (self.high_x - self.low_x) or 1.0
        return _LEFT + (value - self.low_x) / span * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        return _HEIGHT - _BOTTOM - value / (self.high_y or 1.0) * (_HEIGHT - _TOP - _BOTTOM)


def histogram(bins: Sequence[Bin], x_label: str, y_label: str, whole: bool = False) -> Markup:
    """Bars; the marked share of each stands out. `whole` says that the values are whole numbers."""
    ticks_y = ticks(max((each.count for each in bins), default=0), whole=True)
    axes = _Axes(bins[0].low, bins[-1].high, ticks_y[-1])
    parts = [_grid(axes, ticks_y), *(_bar(axes, each, whole) for each in bins)]
    labels = bins[:: next(step for step in (1, 2, 4, 5, 10, len(bins)) if len(bins) / step <= 6)]
    for each in labels:
        middle = (each.low + each.high) / 2 if whole and each.high - each.low <= 1 else each.low
        parts.append(_text(axes.x(middle), _HEIGHT - _BOTTOM + 14, compact(each.low), "middle"))
    if not whole:
        parts.append(_text(axes.x(bins[-1].high), _HEIGHT - _BOTTOM + 14, compact(bins[-1].high), "middle"))
    return _figure(Markup("").join(parts), x_label, y_label, f"Histogram: {y_label} by {x_label}")


def curves(lines: Sequence[Series], x_label: str, y_label: str) -> Markup:
    """Lines over a common plane whose y begins at 0. Needs at least one point."""
    points = [point for line in lines for point in line.points]
    ticks_y = ticks(max(y for _, y in points))
    last = max(x for x, _ in points)
    axes = _Axes(0, last, ticks_y[-1])
    parts = [_grid(axes, ticks_y), *(_line(axes, line) for line in lines if line.points)]
    for tick in ticks(last, whole=True):
        if tick <= last:
            parts.append(_text(axes.x(tick), _HEIGHT - _BOTTOM + 14, compact(tick), "middle"))
    return _figure(Markup("").join(parts), x_label, y_label, f"Curves: {y_label} by {x_label}")


def reliability(points: Sequence[tuple[float, float, int]], x_label: str, y_label: str) -> Markup:
    """Shares (x, y, how many) on a square from 0 to 1, with the diagonal on which both are the same; dots by number."""
    axes = _Axes(0, 1, 1)
    most = max(count for _, _, count in points)
    line = _line(axes, Series("measured", "measured", [(x, y) for x, y, _ in points]), dots=False)
    dots = Markup("").join(
        Markup('<circle class="measured" cx="{:.1f}" cy="{:.1f}" r="{:.1f}"><title>{}</title></circle>').format(
            axes.x(x), axes.y(y), 2 + 4 * math.sqrt(count / most), f"{percent(x)}: {percent(y)} of {count:,}"
        )
        for x, y, count in points
    )
    return _figure(_unit_square(axes, diagonal=True) + line + dots, x_label, y_label, f"Curve: {y_label} by {x_label}")


def shares(lines: Sequence[Series], mark: float, x_label: str, y_label: str) -> Markup:
    """Lines of shares, 0 to 1, over the x that they have in common, and an upright line at `mark`."""
    places = [x for line in lines for x, _ in line.points]
    axes = _Axes(min(places), max(places), 1)
    parts = [_unit_square(axes, diagonal=False), *(_line(axes, line) for line in lines)]
    if axes.low_x <= mark <= axes.high_x:
        parts.append(
            Markup('<line class="mark" x1="{0:.1f}" x2="{0:.1f}" y1="{1:.1f}" y2="{2:.1f}"/>').format(
                axes.x(mark), axes.y(0), axes.y(1)
            )
        )
    return _figure(Markup("").join(parts), x_label, y_label, f"Curves: {y_label} by {x_label}")


def interval(rate: Rate, style: str) -> Markup:
    """A rate as a bar from 0 to 1 with its 95 % interval."""
    if rate.rate is None:
        return Markup("")
    return Markup(
        '<svg class="interval {style}" viewBox="0 0 100 12" preserveAspectRatio="none" role="img" aria-label="{label}">'
        '<rect class="track" x="0" y="2" width="100" height="8"/>'
        '<rect class="value" x="0" y="2" width="{value:.2f}" height="8"/>'
        '<rect class="whisker" x="{low:.2f}" y="5" width="{width:.2f}" height="2"/></svg>'
    ).format(
        style=style,
        label=f"{percent(rate.rate)}, 95 % interval {percent(rate.low)} to {percent(rate.high)}",
        value=100 * rate.rate,
        low=100 * rate.low,
        width=max(0.5, 100 * (rate.high - rate.low)),
    )


def ticks(highest: float, wanted: int = 4, whole: bool = False) -> list[float]:
    """Round numbers from 0 up to the first that is not below `highest`, about `wanted` steps, `whole` ones if asked."""
    if highest <= 0:
        return [0.0, 1.0]
    raw = max(highest / wanted, 1.0) if whole else highest / wanted
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= raw * 0.999)
    return [round(number * step, 10) for number in range(math.ceil(highest / step - 1e-9) + 1)]


def thinned(points: Sequence[tuple[float, float]], most: int = 200) -> list[tuple[float, float]]:
    """At most `most` points, each the mean of as many neighbours."""
    size = math.ceil(len(points) / most)
    if size <= 1:
        return list(points)
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [(group[-1][0], sum(y for _, y in group) / len(group)) for group in groups]


def _bar(axes: _Axes, each: Bin, whole: bool) -> Markup:
    last = int(each.high) - 1
    name = (
        compact(each.low)
        if whole and last == each.low
        else f"{compact(each.low)} to {compact(last if whole else each.high)}"
    )
    left, right = axes.x(each.low) + 0.75, axes.x(each.high) - 0.75
    plain, marked = axes.y(each.count), axes.y(each.marked)
    return Markup(
        '<g><title>{title}</title><rect class="bar" x="{left:.1f}" y="{plain:.1f}" width="{width:.1f}" '
        'height="{plain_height:.1f}"/><rect class="bar marked" x="{left:.1f}" y="{marked:.1f}" width="{width:.1f}" '
        'height="{marked_height:.1f}"/></g>'
    ).format(
        title=f"{name}: {each.count:,}",
        left=left,
        width=max(0.5, right - left),
        plain=plain,
        plain_height=marked - plain,
        marked=marked,
        marked_height=axes.y(0) - marked,
    )


def _unit_square(axes: _Axes, diagonal: bool) -> Markup:
    """Grid and labels for shares; the x axis may begin later than at 0."""
    step = ticks(axes.high_x - axes.low_x, wanted=5)[1]
    places = range(math.ceil(axes.low_x / step - 1e-9), math.floor(axes.high_x / step + 1e-9) + 1)
    parts = [_grid(axes, ticks(1, wanted=5))]
    parts += [_text(axes.x(at * step), _HEIGHT - _BOTTOM + 14, compact(at * step), "middle") for at in places]
    if diagonal:
        parts.append(
            Markup('<line class="diagonal" x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}"/>').format(
                axes.x(0), axes.x(1), axes.y(0), axes.y(1)
            )
        )
    return Markup("").join(parts)


def _line(axes: _Axes, line: Series, dots: bool = True) -> Markup:
    places = " ".join(f"{axes.x(x):.1f},{axes.y(y):.1f}" for x, y in line.points)
    circles = Markup("").join(
        Markup('<circle class="{0}" cx="{1:.1f}" cy="{2:.1f}" r="2.6"><title>{3}</title></circle>').format(
            line.style, axes.x(x), axes.y(y), f"{line.label}, {compact(x)}: {y:.4g}"
        )
        for x, y in (line.points if dots and len(line.points) <= 30 else ())
    )
    return (
        Markup('<polyline class="{}" points="{}"><title>{}</title></polyline>').format(line.style, places, line.label)
        + circles
    )


def _grid(axes: _Axes, values: Sequence[float]) -> Markup:
    return Markup("").join(
        Markup('<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>').format(
            _LEFT, _WIDTH - _RIGHT, axes.y(value), axes.y(value)
        )
        + _text(_LEFT - 5, axes.y(value) + 3.5, compact(value), "end")
        for value in values
    )


def _text(x: float, y: float, text: str, anchor: str) -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(x, y, anchor, text)


def _figure(inner: Markup, x_label: str, y_label: str, title: str) -> Markup:
    bottom = _text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 6, f"{x_label}", "middle")
    return Markup('<svg class="chart" viewBox="0 0 {:g} {:g}" role="img" aria-label="{}">{}{}</svg>').format(
        _WIDTH, _HEIGHT, title, inner, bottom
    )
