"""The evaluation's document as tables: a measure a row, a system a column, a table each split."""

from __future__ import annotations

from pathlib import Path

from finished import Rows, answer, evaluated, evaluation, report, shown, usual

from skutune.evaluation.document import JudgeFigures
from skutune.evaluation.judge import Agreement
from skutune.evaluation.rates import rate
from skutune.report.evaluation import read_evaluation, top_ids


def table() -> Rows:
    """Three systems that were asked five questions."""
    rows = Rows()
    for place in range(5):
        rows.evaluated += [
            evaluated(rows, place, "held_out_question", "base", "Hm."),
            evaluated(rows, place, "held_out_question", "tuned", answer(rows, (0,))),
            evaluated(rows, place, "held_out_question", "retrieval", answer(rows, (place, 1)), tokens=0),
        ]
    return rows


def test_each_split_is_a_table_with_a_column_for_each_system() -> None:
    (split,) = read_evaluation(evaluation(table()), {}).splits
    assert (split.systems, split.questions) == (["base", "tuned", "retrieval"], 5)
    lines = {line.title: line for line in split.lines}
    assert [cell.hits for cell in lines["answers that parse"].cells] == [0, 5, 5]
    assert [cell.trials for cell in lines["references whose name and id agree"].cells] == [0, 5, 10]


def test_what_no_question_asks_for_has_no_line() -> None:
    (split,) = read_evaluation(evaluation(table()), {}).splits
    assert not any("violate a constraint" in line.title for line in split.lines)


def test_what_tuning_gains_stands_with_the_tuned_model() -> None:
    (split,) = read_evaluation(evaluation(table()), {}).splits
    gain = next(line for line in split.lines if line.title == "answers that parse").gains["tuned"]
    assert gain.value == 1.0
    assert 0 < gain.low < 1


def test_a_model_that_says_the_same_to_everyone_is_seen() -> None:
    found = read_evaluation(evaluation(table()), {"101": "Baked Beans"})
    figures = {figure.title: figure.cells for figure in found.splits[0].figures}
    assert figures["most recommended product"][1] == "Baked Beans"
    assert figures["distinct products"] == ["0 of 6", "1 of 6", "5 of 6"]
    assert figures["crowding"] == ["–", "0.8", "0.5"]
    assert figures["tokens per second"] == ["80", "80", "–"]
    assert top_ids(evaluation(table())) == {"101", "102"}


def test_the_page_shows_tables_gains_recall_and_the_worst_answers(tmp_path: Path) -> None:
    text = shown(report(tmp_path, usual()))
    assert "Questions about products never trained 1 question" in text
    assert "Questions about trained products, worded anew 1 question" in text
    assert "+100.0 (" in text
    assert "Descriptions of trained products: 1" in text
    assert "Descriptions of products never trained: 1" in text
    assert "Answers of the tuned model if it was evaluated" in text
    assert "the judge finds Baked Beans (id 101) irrelevant" in text


def test_how_good_the_judge_is_is_told_or_that_nobody_knows(tmp_path: Path) -> None:
    rows = usual()
    text = shown(report(tmp_path / "one", rows))
    assert "per pair of question and product, 3 in all, of which 2 could be parsed" in text
    rows.judge = JudgeFigures("judge", 3, 3, Agreement(10, rate(8, 10), 0.55))
    text = shown(report(tmp_path / "two", rows))
    assert "Relevance was judged by the judge model" in text
    assert "It agrees with human verdicts in 8 of 10 cases (80.0 %; 95 %: 49.0 to 94.3 %), Cohen's kappa 0.55" in text
    rows.judge = None
    assert "Relevance was not judged." in shown(report(tmp_path / "three", rows))


def test_a_tuned_model_that_was_not_asked_freely_is_said_so(tmp_path: Path) -> None:
    rows = usual()
    rows.evaluated = [row for row in rows.evaluated if row.system == "base"]
    assert "The tuned model was not evaluated without constraints" in shown(report(tmp_path, rows))
