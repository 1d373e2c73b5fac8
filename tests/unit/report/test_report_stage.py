"""The report stage over a whole run in a store."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from finished import Rows, coverage_of, example, link, question, report, shown, usual


def test_the_headlines_say_what_was_made_and_how_good_it_is(tmp_path: Path) -> None:
    text = shown(report(tmp_path, usual()))
    assert "6 products 1 of them held out" in text
    assert "12 questions" in text
    assert "3 training examples answers: 2, descriptions: 1" in text
    assert "2 held-out examples" in text
    assert "90.0 % recommendations linked 9 of 10" in text
    assert "40.0 % coverage 2 of 5 products with 2 questions or more" in text
    subject = "of the tuned model's unconstrained product references in answers to questions about"
    assert f"100 % {subject} trained products, worded anew have the right id (2 of 2 references" in text
    assert "For the base model it is 0 % (0 of 1)" in text
    assert f"100 % {subject} products never trained have the right id (1 of 1 references" in text


def test_every_stage_has_its_line_with_the_reasons_of_what_it_rejected(tmp_path: Path) -> None:
    html = report(tmp_path, usual()).read_text(encoding="utf-8")
    for stage in ("ingest", "describe", "question", "link", "finetune", "evaluate"):
        assert f'id="stage-{stage}"' in html
    text = shown(tmp_path / "store" / "grocery" / "report.html")
    assert "ingest no id 1 describe fewer than 2 whole sentences 1 question names the product 1" in text
    assert "recommend the first name, …, is not the product&#39;s 1" in text
    assert "9 ,Nameless" not in text
    assert "line 9 no id ,Nameless" in text


def test_what_a_catalog_or_model_writes_is_never_markup(tmp_path: Path) -> None:
    html = report(tmp_path, usual()).read_text(encoding="utf-8")
    assert "<script" not in html
    assert "<b>Bold" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


def test_the_page_needs_nothing_but_itself_and_tells_nobody_where_files_lay(tmp_path: Path) -> None:
    html = report(tmp_path, usual()).read_text(encoding="utf-8")
    assert not re.search(r"(src|href)=\"(?!#|data:,)", html)
    assert not re.search(r"https?://|url\(|@import|/home/somebody|s3://", html)
    assert "products.csv" in html


def test_models_are_named_with_revision_and_the_identity_of_their_weights(tmp_path: Path) -> None:
    text = shown(report(tmp_path, usual()))
    assert "generator meta-llama/Llama-3.1-8B-Instruct 0e9e39f sha256:generator" in text
    assert "base llama – sha256:base" in text


def test_a_dry_run_does_not_pretend_to_have_used_a_model(tmp_path: Path) -> None:
    scripted = {"name": "meta-llama/Llama-3.1-8B-Instruct", "engine": "scripted"}
    models = {"generator": scripted, "encoder": scripted, "base": {"name": "./base"}}
    text = shown(report(tmp_path, usual(), models=models))
    assert "generator none: texts and vectors are scripted" in text
    assert "Llama-3.1" not in text


def test_a_reference_to_another_products_id_is_marked_with_whose_it_is(tmp_path: Path) -> None:
    html = report(tmp_path, usual()).read_text(encoding="utf-8")
    assert re.search(
        r'<span class="ref wrong">Try \(closest product: Mustard: id 104\)<small>id 104 is Cornbread', html
    )
    assert '<span class="ref right">(closest product: Baked Beans: id 101)</span>' in html


def test_a_run_in_which_every_table_is_empty_still_has_a_report(tmp_path: Path) -> None:
    text = shown(report(tmp_path, Rows(names=())))
    assert "No questions were held out" in text
    assert "No answers to show." in text
    assert "No loss curve" in text
    assert "No row was rejected." in text
    assert "No training examples." in text
    assert "No product has too few questions." in text


def test_a_tuned_model_that_names_nothing_is_said_to(tmp_path: Path) -> None:
    rows = usual()
    rows.evaluated = [
        replace(row, answer="I do not know.", ids=[], ids_in_catalog=0, names_agree=0) for row in rows.evaluated
    ]
    assert "The tuned model referenced no product" in shown(report(tmp_path, rows))


def test_only_as_many_answers_are_shown_as_the_config_asks_for(tmp_path: Path) -> None:
    html = report(tmp_path, usual(), stages={"report": {"samples": 1}}).read_text(encoding="utf-8")
    assert html.count('class="sample"') == 1


def test_lists_are_capped_and_say_of_how_many(tmp_path: Path) -> None:
    small = report(tmp_path / "small", usual()).stat().st_size
    names = tuple(f"Product {place}" for place in range(3000))
    rows = Rows(names=names)
    rows.questions = [question(rows, place, 1) for place in range(3000)]
    rows.links = [(link(f"Thing {place}", [], 0.3), 1) for place in range(3000)]
    rows.examples = [example(rows, place, 1, "train", (place,)) for place in range(3000)]
    rows.coverage = [coverage_of(rows, place, 1) for place in range(3000)]
    path = report(tmp_path / "large", rows)
    text = shown(path)
    assert "Products with too few questions: 20 of 3,000" in text
    assert "Recommended names without a close product: 20 of 3,000 names" in text
    assert "Most recommended in training answers: 20 of 3,000 recommended products" in text
    assert path.stat().st_size < small + 40_000


def test_a_damaged_part_stops_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from skutune.errors import SkutuneError
    from skutune.store.local import LocalStore

    get = LocalStore.get
    monkeypatch.setattr(
        LocalStore, "get", lambda store, key: get(store, key)[:-1] + b"?" if "/evaluate/" in key else get(store, key)
    )
    with pytest.raises(SkutuneError, match="digest does not match the manifest"):
        report(tmp_path, usual())
