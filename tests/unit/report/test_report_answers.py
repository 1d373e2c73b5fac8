"""References in answers are marked, whether the answer is in the format or not."""

from __future__ import annotations

from finished import Rows, answer, evaluated, usual

from skutune.report.answers import by_split, chosen, ids_named, measures, segments, side_by_side, varieties

NAMES = {"101": "Baked Beans", "7": "Ale: id 3 (Dark)"}


def kinds(text: str) -> list[str]:
    return [segment.kind for segment in segments(text, NAMES)]


def test_a_reference_is_right_where_name_and_id_are_one_products() -> None:
    assert kinds("Beans.\n(closest product: Baked Beans: id 101)\nMore.") == ["text", "right", "text"]
    assert kinds("(closest product: Ale: id 3 (Dark): id 7)") == ["right"]


def test_case_does_not_make_a_name_wrong_as_in_the_evaluation() -> None:
    assert kinds("(closest product: baked beans: id 101)") == ["right"]


def test_a_wrong_reference_says_whose_id_it_is() -> None:
    (segment,) = segments("(closest product: Coleslaw: id 101)", NAMES)
    assert (segment.kind, segment.note) == ("wrong", "id 101 is Baked Beans")
    (segment,) = segments("(closest product: Coleslaw: id 5)", NAMES)
    assert (segment.kind, segment.note) == ("wrong", "no product has the id 5")


def test_a_reference_in_the_middle_of_a_broken_answer_is_found_too() -> None:
    assert kinds("Try this (Closest product: Baked Beans, id 101)") == ["right"]
    assert kinds("no close product") == ["none"]
    assert kinds("I would close the product page.") == ["text"]


def test_the_pieces_of_a_text_are_the_whole_text() -> None:
    text = answer(usual(), (0, None))
    assert "\n".join(segment.text for segment in segments(text, NAMES)) == text


def test_an_answer_that_does_not_end_is_cut_and_says_so() -> None:
    (segment,) = segments("and " * 5000, NAMES)
    assert len(segment.text) < 2500
    assert segment.text.endswith("(cut here)")


def test_ids_are_found_in_all_texts() -> None:
    assert ids_named(["(closest product: A: id 1)\n(no close product)", "x (closest product: B, id 2)"]) == {"1", "2"}


def test_measures_count_answers_by_answer_and_references_by_reference() -> None:
    rows = [
        evaluated(Rows(), 0, "held_out_question", "tuned", "", True, 3, 2),
        evaluated(Rows(), 1, "held_out_product", "tuned", "", False, 1, 0),
        evaluated(Rows(), 0, "held_out_question", "base", "", False, 0, 0),
    ]
    found = {measure.title: measure for measure in measures(rows)}
    assert (found["answers in the format"].tuned.hits, found["answers in the format"].tuned.trials) == (1, 2)
    agree = found["references whose name and id agree"]
    assert (agree.tuned.hits, agree.tuned.trials, agree.tuned.rate) == (2, 4, 0.5)
    assert (agree.base.trials, agree.base.rate) == (0, None)
    assert list(by_split(rows)) == ["held_out_product", "held_out_question"]


def test_a_question_is_shown_with_all_its_answers_and_with_those_there_are() -> None:
    rows = usual().evaluated
    assert [set(each) for each in chosen(rows, 5)] == [{"base", "tuned"}, {"base", "tuned"}]
    assert len(chosen(rows, 1)) == 1
    alone = side_by_side({"tuned": rows[1]}, {})
    assert list(alone.answers) == ["tuned"]


def test_a_model_that_says_the_same_to_everyone_is_seen() -> None:
    same = answer(usual(), (0, None))
    rows = [evaluated(Rows(), place, "held_out_question", "tuned", same, True, 1, 1) for place in range(4)]
    (found,) = varieties([*rows, evaluated(Rows(), 5, "held_out_question", "tuned", answer(usual(), (1,)), True, 1, 1)])
    assert (found.model, found.products, found.common_id, found.no_product) == ("tuned", 2, "101", 4)
    assert (found.common.hits, found.common.trials) == (4, 5)
    assert varieties([]) == []
    (silent,) = varieties([evaluated(Rows(), 0, "held_out_question", "base", "Hm.", False, 0, 0)])
    assert (silent.products, silent.common_id, silent.common.rate) == (0, "", None)
