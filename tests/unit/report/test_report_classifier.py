"""What the report tells of classifier and calibration, and that it says so where there is nothing to tell."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from finished import report, usual

from skutune.report.charts import Series, reliability, shares
from skutune.report.classifier import Method, Operating, Reliability, read_classifying

TESTED: dict[str, Any] = {
    "pairs": 1200,
    "reliability": [
        {"p": 0.1, "acceptable": 0.05, "names": 400},
        {"p": 0.9, "acceptable": 0.95, "names": 100},
    ],
    "coverage": [
        {"wanted": 0.5, "precision": 0.8, "coverage": 0.9},
        {"wanted": 0.9, "precision": 0.92, "coverage": 0.6},
        {"wanted": 0.98, "precision": 0.97, "coverage": 0.3},
    ],
}


def page(folder: Path, calibration: dict[str, Any] | None = None, **classifier: Any) -> str:
    """The section on linking of a run's page."""
    rows = usual()
    rows.calibration = calibration or {}
    rows.classifier = classifier or rows.classifier
    html = report(folder, rows).read_text(encoding="utf-8")
    section = html[html.index('<section id="linking">') :]
    return section[: section.index("</section>")]


def shown(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split()).replace("\N{NO-BREAK SPACE}", " ")


def test_figures_of_the_stage_are_read_as_methods_and_curves() -> None:
    found = read_classifying({"classifier": usual().classifier, "calibration": TESTED})
    assert found.methods[0] == Method("nearest text of any product", 0.81, kept=False)
    assert [method.kept for method in found.methods] == [False, False, True]
    assert found.reliability[1] == Reliability(0.9, 0.95, 100)
    assert found.operating[0] == Operating(0.5, 0.8, 0.9)
    assert found.texts == 400


def test_a_classifier_without_training_keeps_the_means_as_they_are() -> None:
    figures = {"accuracy_neighbour": 0.7, "accuracy_centroid": 0.8, "projection": "identity", "why": "no epochs"}
    found = read_classifying({"classifier": figures})
    assert [(method.right, method.kept) for method in found.methods] == [(0.7, False), (0.8, True)]


def test_the_page_shows_both_curves_the_methods_and_what_was_kept(tmp_path: Path) -> None:
    html = page(tmp_path, TESTED)
    text = shown(html)
    assert html.count('<svg class="chart"') == 3
    assert "nearest text of any product 81.0 %" in text
    assert "with a trained projection 87.5 % kept" in text
    assert "Selected because: training improved held-out accuracy." in text
    assert "perfect calibration" in text
    assert "was not evaluated" not in text


def test_what_has_a_place_of_its_own_is_not_told_again_as_a_bare_figure(tmp_path: Path) -> None:
    text = shown(page(tmp_path, TESTED))
    assert "calibration · pairs 1,200" in text
    for told in ("calibration · reliability", "calibration · coverage", "classifier · accuracy", "classifier · why"):
        assert told not in text


def test_a_run_of_few_products_says_that_nothing_was_tested(tmp_path: Path) -> None:
    html = page(tmp_path, {"pairs": 12}, products=6, projection="identity", why="too few texts a product")
    assert html.count('<svg class="chart"') == 1
    assert "P(acceptable) was not evaluated" in shown(html)
    assert "The classifier was not evaluated: too few texts a product." in shown(html)
    assert "Accuracy on held-out texts" not in shown(html)


def test_points_of_a_reliable_p_lie_on_the_diagonal_and_grow_with_their_number() -> None:
    svg = ElementTree.fromstring(reliability([(0.0, 0.0, 1), (0.5, 0.5, 4), (1.0, 1.0, 100)], "told", "found"))
    diagonal = next(each for each in svg.iter("line") if each.get("class") == "diagonal")
    dots = list(svg.iter("circle"))
    assert [dots[0].get("cx"), dots[0].get("cy")] == [diagonal.get("x1"), diagonal.get("y1")]
    assert [dots[2].get("cx"), dots[2].get("cy")] == [diagonal.get("x2"), diagonal.get("y2")]
    radii = [float(dot.get("r", "")) for dot in dots]
    assert radii == sorted(radii)
    assert radii[0] < radii[2]


@pytest.mark.parametrize(("mark", "drawn"), [(0.5, 1), (0.75, 1), (0.98, 1), (0.3, 0), (0.99, 0)])
def test_the_runs_own_precision_is_marked_where_the_curves_reach(mark: float, drawn: int) -> None:
    lines = [Series("right", "training", [(0.5, 0.8), (0.98, 0.97)]), Series("linked", "validation", [(0.5, 0.9)])]
    svg = ElementTree.fromstring(shares(lines, mark, "wanted", "share"))
    found = [each for each in svg.iter("line") if each.get("class") == "mark"]
    assert len(found) == drawn


def test_one_wanted_precision_alone_is_drawn() -> None:
    svg = ElementTree.fromstring(shares([Series("right", "training", [(0.9, 0.95)])], 0.9, "wanted", "share"))
    assert len(list(svg.iter("circle"))) == 1
