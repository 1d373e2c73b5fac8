"""What the charts draw, read back from their SVG, and the numbers beside them."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from skutune.evaluation.rates import rate
from skutune.report import formatting
from skutune.report.charts import Series, curves, histogram, interval, thinned, ticks
from skutune.report.figures import Bin

GAP = "\N{NO-BREAK SPACE}"


def bars(svg: str) -> list[ElementTree.Element]:
    return [each for each in ElementTree.fromstring(svg).iter("rect") if each.get("class") == "bar marked"]


def test_a_histogram_draws_marked_and_unmarked_shares_to_scale_from_the_same_ground() -> None:
    svg = histogram([Bin(0, 1, 10, 5), Bin(1, 2, 20, 0)], "training questions", "products", whole=True)
    plain = [each for each in ElementTree.fromstring(svg).iter("rect") if each.get("class") == "bar"]
    marked = bars(svg)
    heights = [float(each.get("height", "")) for each in (plain[0], marked[0], plain[1], marked[1])]
    assert heights[0] == pytest.approx(heights[1], abs=0.2)
    assert heights[2] == pytest.approx(4 * heights[0], abs=0.5)
    assert heights[3] == 0
    ground = float(plain[1].get("y", "")) + heights[2]
    assert float(marked[0].get("y", "")) + heights[1] == pytest.approx(ground, abs=0.2)


def test_a_histogram_of_nothing_but_zeros_is_drawn_without_bars() -> None:
    svg = histogram([Bin(0, 0.5, 0), Bin(0.5, 1, 0)], "p", "names")
    assert all(float(each.get("height", "")) == 0 for each in bars(svg))


def test_curves_run_from_left_to_right_and_down_where_the_loss_falls() -> None:
    svg = curves([Series("training", "training", [(1, 3.0), (2, 2.0), (3, 1.0)])], "step", "loss")
    line = next(ElementTree.fromstring(svg).iter("polyline"))
    places = [tuple(map(float, place.split(","))) for place in line.get("points", "").split()]
    assert [x for x, _ in places] == sorted(x for x, _ in places)
    assert [y for _, y in places] == sorted(y for _, y in places)  # SVG counts downwards


def test_one_point_is_enough_for_a_curve() -> None:
    svg = curves([Series("training", "training", [(1, 0.0)]), Series("validation", "validation", [])], "step", "loss")
    assert len(list(ElementTree.fromstring(svg).iter("circle"))) == 1


def test_labels_are_escaped() -> None:
    svg = curves([Series("<b>", "training", [(1, 1.0)])], "a < b", "loss")
    ElementTree.fromstring(svg)
    assert "<b>" not in svg


def test_an_interval_spans_what_wilson_says() -> None:
    svg = ElementTree.fromstring(interval(rate(8, 10), "tuned"))
    found = {each.get("class"): each for each in svg.iter("rect")}
    assert float(found["value"].get("width", "")) == pytest.approx(80)
    assert float(found["whisker"].get("x", "")) == pytest.approx(49.0, abs=0.1)
    assert float(found["whisker"].get("width", "")) == pytest.approx(94.3 - 49.0, abs=0.1)
    assert interval(rate(0, 0), "base") == ""


@pytest.mark.parametrize(
    ("highest", "expected"),
    [
        (0, [0, 1]),
        (1, [0, 0.5, 1]),
        (3.2, [0, 1, 2, 3, 4]),
        (0.07, [0, 0.02, 0.04, 0.06, 0.08]),
        (50_000, [0, 20_000, 40_000, 60_000]),
    ],
)
def test_ticks_are_round_and_cover_the_highest_value(highest: float, expected: list[float]) -> None:
    assert ticks(highest) == expected


def test_counts_have_whole_ticks() -> None:
    assert ticks(2, whole=True) == [0, 1, 2]


def test_thousands_of_points_are_averaged_into_few_that_keep_the_mean_and_the_end() -> None:
    points = [(float(step), float(step % 2)) for step in range(1, 5001)]
    few = thinned(points)
    assert len(few) == 200
    assert few[-1][0] == 5000
    assert sum(y for _, y in few) / len(few) == pytest.approx(0.5, abs=0.03)
    assert thinned(points[:200]) == points[:200]


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (formatting.percent(0.9996), f"> 99.9{GAP}%"),
        (formatting.percent(1.0), f"100{GAP}%"),
        (formatting.percent(0.0001), f"< 0.1{GAP}%"),
        (formatting.percent(0.0), f"0{GAP}%"),
        (formatting.percent(None), "–"),
        (formatting.whole(49688), "49,688"),
        (formatting.compact(0.25), "0.25"),
        (formatting.compact(5000), "5,000"),
        (formatting.compact(50_000), "50k"),
        (formatting.compact(500_000), "500k"),
        (formatting.compact(2_000_000), "2M"),
        (formatting.duration(0.04), f"0.0{GAP}s"),
        (formatting.duration(59.7), f"1{GAP}min{GAP}00{GAP}s"),
        (formatting.duration(3 * 3600 + 61), f"3{GAP}h{GAP}01{GAP}min"),
        (formatting.size(812 << 20), f"812{GAP}MiB"),
        (formatting.size(1023 << 20), f"1023{GAP}MiB"),
        (formatting.size(0), "–"),
        (formatting.figure(True), "yes"),
        (formatting.figure(None), "–"),
        (formatting.figure(0.123456), "0.1235"),
        (formatting.figure([1, 0.5]), "1, 0.5"),
    ],
)
def test_numbers_read_as_a_person_writes_them(shown: str, expected: str) -> None:
    assert shown == expected
