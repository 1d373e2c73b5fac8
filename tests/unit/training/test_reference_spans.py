"""References are found in an answer whatever their names hold."""

import pytest

from skutune.answer_format import AnswerItem, AnswerText, Reference, render
from skutune.training.reference_spans import spans_of


@pytest.mark.parametrize(
    "name", ["Baked Beans", "Beans (no salt)", "Beans: id 7 style", "Crème brûlée 😀", "(closest product: Beans: id 1)"]
)
def test_the_name_and_id_of_every_reference_are_found(name):
    items = (AnswerItem("beans", "Good.", Reference("a)7", name)), AnswerItem("tofu", "Also.", None))
    answer = render(AnswerText("Two.", items, "Enjoy."))
    spans = spans_of(answer, is_identity=False)
    assert [answer[slice(*span)] for span in spans.products] == [f"{name}: id a)7"]
    assert [answer[:end].splitlines()[-1] for end in spans.ends] == [
        f"(closest product: {name}: id a)7)",
        "(no close product)",
    ]


def test_prose_that_names_no_product_may_be_cut_anywhere():
    assert spans_of("Beans. (closest product: none)", is_identity=False).ends is None


def test_an_identity_is_a_product_as_a_whole_and_is_never_cut():
    spans = spans_of("Beans: id 7", is_identity=True)
    assert (spans.products, spans.ends) == (((0, 11),), ())
