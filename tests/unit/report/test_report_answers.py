"""References in answers are marked, whether the answer is in the format or not."""

from __future__ import annotations

from finished import answer, usual

from skutune.report.answers import chosen, ids_named, segments, side_by_side

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
    assert (segment.kind, segment.note) == ("wrong", "unknown id 5")


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


def test_a_question_is_shown_with_all_its_answers_and_with_those_there_are() -> None:
    rows = usual().evaluated
    assert [set(each) for each in chosen(rows, 5)] == [{"base", "tuned"}, {"base", "tuned"}]
    assert len(chosen(rows, 1)) == 1
    alone = side_by_side({"tuned": rows[1]}, {})
    assert list(alone.answers) == ["tuned"]
