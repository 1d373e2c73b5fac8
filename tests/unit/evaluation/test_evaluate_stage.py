"""The whole evaluation of a model that knows nothing, over a scripted run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from byte_model import save_base

from skutune.config.schema import SYSTEMS
from skutune.errors import InputError
from skutune.prompts.asking import question_messages
from skutune.training.tokens import load_tokenizer, prompt_tokens

MODELS = ["base", "tuned", "tuned-constrained", "tuned-linked", "retrieval"]


@pytest.fixture(scope="module")
def whole(evaluate):
    return evaluate(systems=MODELS)


def by_system(document: dict[str, Any], split: str = "held_out_question") -> dict[str, dict[str, Any]]:
    return {result["system"]: result for result in document["results"] if result["split"] == split}


def without_time(document: dict[str, Any]) -> dict[str, Any]:
    kept = [
        {k: v for k, v in each.items() if k not in ("seconds", "tokens_per_second")} for each in document["results"]
    ]
    return document | {"results": kept}


def test_every_system_answers_every_question_of_both_splits(whole):
    assert whole.document["questions"] == {"held_out_product": 1, "held_out_question": 2}
    asked = [(each["split"], each["system"], each["answers"]) for each in whole.document["results"]]
    assert asked == [("held_out_product", system, 1) for system in MODELS] + [
        ("held_out_question", system, 2) for system in MODELS
    ]


def test_what_is_constrained_parses_and_names_products_rightly_whatever_the_model(whole):
    found = by_system(whole.document)
    for system in ("tuned-constrained", "tuned-linked", "retrieval"):
        rates = found[system]["rates"]
        assert rates["format"]["rate"] == 1.0
        assert rates["name_agrees"]["hits"] == rates["name_agrees"]["trials"]
    assert found["tuned"]["rates"]["format"]["rate"] == 0.0  # random weights write no answer
    assert found["tuned-constrained"]["rates"]["name_agrees"]["trials"] > 0


def test_descriptions_are_recalled_by_products_trained_and_not(whole):
    recall = {(each["split"], each["system"]): each for each in whole.document["recall"]}
    assert {split for split, _ in recall} == {"train", "held_out_product"}
    assert {system for _, system in recall} == {"base", "tuned", "tuned-constrained", "retrieval"}
    assert recall["train", "retrieval"]["right"]["rate"] > recall["train", "tuned"]["right"]["rate"]


def test_the_judge_gives_each_pair_of_question_and_product_one_verdict(whole):
    judge = whole.document["judge"]
    assert judge["model"] == "generator"
    assert judge["asked"] == judge["read"] > 0
    judged = [result["rates"]["relevant"]["trials"] for result in whole.document["results"]]
    assert sum(judged) >= judge["asked"]


def test_the_worst_answers_are_of_the_tuned_model_and_say_what_is_wrong(whole):
    worst = whole.document["worst"]
    assert worst
    assert len(worst) <= 20
    assert all(bad["system"].startswith("tuned") and bad["faults"] for bad in worst)


def test_the_results_lie_in_the_runs_folder_and_among_the_stages_files(whole):
    published = json.loads(whole.store.get("sample/evaluation.json"))
    assert published.keys() == whole.document.keys()
    assert [entry.name for entry in whole.outputs.entries if entry.part < 0] == ["evaluation.json"]
    assert whole.outputs.figures["loss"]["examples"] > 0


def test_the_same_run_gives_the_same_evaluation_but_for_its_time(evaluate):
    settings = {"systems": ["tuned-constrained", "tuned-linked", "retrieval"], "questions": 2, "recall": 1}
    assert without_time(evaluate(**settings).document) == without_time(evaluate(**settings).document)


def test_without_a_held_out_question_there_is_nothing_to_compare_and_no_fault(evaluate):
    nothing = {"hold_out_products": 0, "hold_out_questions": 0}
    found = evaluate(products=4, compose=nothing, systems=["retrieval"], recall=0).document
    assert found["results"] == found["worst"] == found["gains"] == found["recall"] == []
    assert found["judge"] is None
    assert found["questions"] == {}


def test_nobody_judges_where_nobody_is_asked_to(evaluate):
    found = evaluate(systems=["retrieval"], recall=0, judge={"model": "none"}).document
    assert found["judge"] is None
    assert all(result["rates"]["relevant"]["trials"] == 0 for result in found["results"])


def test_the_encoder_can_search_instead_of_words(evaluate):
    found = evaluate(systems=["retrieval"], retrieval="encoder", recall=0, judge={"model": "none"}).document
    assert found["retrieval"] == "encoder"
    assert all(result["rates"]["refuses"]["hits"] == 0 for result in found["results"])


def test_a_judge_that_cannot_be_loaded_ends_the_evaluation_before_anything_is_asked(evaluate, tmp_path: Path):
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    (tmp_path / "model.safetensors").write_bytes(b"")
    judge = {"judge": {"model": "judge"}, "judge_model": {"name": str(tmp_path), "engine": "transformers"}}
    with pytest.raises(InputError, match=str(tmp_path)):
        evaluate(systems=["tuned"], **judge)


def test_an_adapter_of_another_base_is_refused(evaluate, tiny_adapter: Path, tmp_path: Path):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    other = AutoModelForCausalLM.from_pretrained(save_base(tmp_path / "other", hidden_size=32))
    lora = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    get_peft_model(other, lora).save_pretrained(tmp_path / "adapter")
    for file in tiny_adapter.glob("token*"):
        (tmp_path / "adapter" / file.name).write_bytes(file.read_bytes())
    with pytest.raises(InputError, match="adapter"):
        evaluate(systems=["tuned"], adapter=tmp_path / "adapter", recall=0)


def test_answers_without_room_are_told_with_the_setting_that_gives_it(evaluate):
    with pytest.raises(InputError, match=r"stages\.evaluate\.max_tokens: .*4090 tokens .*4096 tokens; lower it"):
        evaluate(systems=["tuned"], max_tokens=4090, recall=0, judge={"model": "none"})


def test_a_question_that_is_too_long_is_counted_and_the_others_are_asked(evaluate, tiny_base: Path):
    tokenizer, nobody = load_tokenizer(tiny_base), {"model": "none"}
    rows = evaluate(systems=["retrieval"], recall=0, judge=nobody).rows
    lengths = sorted(len(prompt_tokens(tokenizer, question_messages(row.question))) for row in rows)
    assert lengths[0] < lengths[-1]
    most = 4096 - lengths[-1] + 1
    found = evaluate(systems=["tuned-constrained"], max_tokens=most, recall=0, judge=nobody).document
    longest = lengths.count(lengths[-1])
    assert (found["too_long"], sum(found["questions"].values())) == (longest, len(rows) - longest)


def test_verdicts_by_hand_tell_how_good_the_judge_is(evaluate, tmp_path: Path):
    labels = tmp_path / "labels.jsonl"
    line = {"question": "What goes with burgers?", "product": "Coleslaw", "verdict": "yes"}
    labels.write_text("".join(json.dumps(line | {"product": f"Coleslaw {n}"}) + "\n" for n in range(4)))
    judge = evaluate(systems=["retrieval"], recall=0, judge={"labels": str(labels)}).document["judge"]
    assert judge["agreement"]["labels"] == judge["agreement"]["agrees"]["trials"] == 4


def test_all_ways_of_answering_are_compared_by_default():
    from skutune.config.schema import EvaluateConfig

    assert EvaluateConfig().systems == SYSTEMS
