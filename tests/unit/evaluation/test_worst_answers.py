"""The worst answers come first, each with what is wrong with it."""

from finished import Rows, answer, evaluated

from skutune.evaluation.worst_answers import faults_of, worst_answers

ROWS = Rows()
CATALOG = {ROWS.product(place).id: name for place, name in enumerate(ROWS.names)}


def row(place, text, system="tuned", **changes):
    return evaluated(ROWS, place, "held_out_question", system, text, **changes)


GOOD = row(0, answer(ROWS, (1,)))
IRRELEVANT = row(1, answer(ROWS, (0,)))
BROKEN = row(2, answer(ROWS, (1,)), constraints=["vegan"], broken=["102"])
WRONG = row(3, "Buy (closest product: Kale: id 101)")
UNPARSED = row(4, "Buy (closest product: Coleslaw: id 102)")
SILENT = row(5, answer(ROWS, (None,)))
REPEATED = row(5, answer(ROWS, (1,)), pairs_with="coleslaw", repeats=True)


def test_harm_comes_before_wrong_ids_those_before_bad_form_and_taste_last():
    found = worst_answers([GOOD, IRRELEVANT, SILENT, UNPARSED, REPEATED, WRONG, BROKEN], CATALOG)
    assert [bad.answer for bad in found] == [
        each.answer for each in (BROKEN, WRONG, UNPARSED, SILENT, REPEATED, IRRELEVANT)
    ]


def test_faults_are_told_in_words():
    assert faults_of(BROKEN, CATALOG) == ["Coleslaw (id 102) does not state vegan"]
    assert faults_of(WRONG, CATALOG)[0] == "'Kale': id 101 is Baked Beans"
    assert faults_of(UNPARSED, CATALOG) == ["does not parse"]
    assert faults_of(SILENT, CATALOG) == ["recommends no product"]
    assert faults_of(REPEATED, CATALOG) == ["recommends what the shopper already has: coleslaw"]
    assert faults_of(IRRELEVANT, CATALOG) == ["the judge finds Baked Beans (id 101) irrelevant"]
    assert faults_of(GOOD, CATALOG) == []


def test_an_invented_id_is_said_to_be_no_products():
    assert faults_of(row(0, "(closest product: Kale: id 999)"), CATALOG)[0] == "'Kale': id 999 is unknown"


def test_the_tuned_models_answers_are_told_and_others_only_without_them():
    base = row(1, "Hm.", system="base")
    assert [bad.system for bad in worst_answers([base, WRONG], CATALOG)] == ["tuned"]
    assert [bad.system for bad in worst_answers([base], CATALOG)] == ["base"]


def test_no_more_than_so_many_are_told_and_none_that_is_good():
    assert worst_answers([GOOD], CATALOG) == []
    assert len(worst_answers([WRONG] * 30, CATALOG)) == 20


def test_an_answer_that_does_not_end_is_cut():
    (bad,) = worst_answers([row(0, "and " * 5000)], CATALOG)
    assert len(bad.answer) == 2400
