"""Examples are read, masked and cut by the stated rule."""

import json

import pytest

from skutune.errors import InputError
from skutune.training.examples import load_examples
from skutune.training.tokens import IGNORED, load_tokenizer


def test_prompt_tokens_carry_no_loss(base, chat_file, tmp_path):
    tokenizer = load_tokenizer(base)
    row = load_examples(chat_file([("What now?", "Coleslaw")]), tokenizer, 128, tmp_path).rows[0]
    taught = [token for token, label in zip(row["input_ids"], row["labels"], strict=True) if label != IGNORED]
    assert tokenizer.decode(taught) == "Coleslaw<|end|>\n"
    assert all(label in (IGNORED, token) for token, label in zip(row["input_ids"], row["labels"], strict=True))


def test_only_the_last_answer_of_a_chat_is_taught(base, tmp_path):
    tokenizer, path = load_tokenizer(base), tmp_path / "chat.jsonl"
    turns = [("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")]
    path.write_text(json.dumps({"messages": [{"role": role, "content": text} for role, text in turns]}))
    row = load_examples(path, tokenizer, 128, tmp_path).rows[0]
    assert tokenizer.decode([label for label in row["labels"] if label != IGNORED]) == "d<|end|>\n"


def test_prompt_and_completion_are_read_as_the_same_chat(base, chat_file, tmp_path):
    tokenizer, path = load_tokenizer(base), tmp_path / "pairs.jsonl"
    prompt, completion = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}
    path.write_text(json.dumps({"prompt": [prompt], "completion": [completion]}))
    one, other = (
        load_examples(path, tokenizer, 128, tmp_path),
        load_examples(chat_file([("q", "a")]), tokenizer, 128, tmp_path),
    )
    assert one.rows[0] == other.rows[0]


def test_a_long_answer_is_cut_at_its_end_and_counted(base, chat_file, tmp_path):
    examples = load_examples(chat_file([("q", "x" * 500), ("q", "short")]), load_tokenizer(base), 64, tmp_path)
    assert (examples.cut, examples.left_out) == (1, 0)
    assert sorted(map(len, examples.rows["input_ids"]))[-1] == 64


def test_an_example_without_room_for_an_answer_is_left_out_and_counted(base, chat_file, tmp_path):
    examples = load_examples(chat_file([("q" * 100, "a"), ("q", "a")]), load_tokenizer(base), 64, tmp_path)
    assert (len(examples.rows), examples.left_out, examples.cut) == (1, 1, 0)


def test_no_room_for_any_answer_is_the_users_error(base, chat_file, tmp_path):
    with pytest.raises(InputError, match="max_length"):
        load_examples(chat_file([("q" * 100, "a")]), load_tokenizer(base), 64, tmp_path)


def test_a_file_that_is_not_there_is_named(base, tmp_path):
    with pytest.raises(InputError, match=r"absent\.jsonl: no such file"):
        load_examples(tmp_path / "absent.jsonl", load_tokenizer(base), 64, tmp_path)


def test_lines_that_are_not_json_are_the_users_error(base, tmp_path):
    (tmp_path / "bad.jsonl").write_text('{"messages": \n')
    with pytest.raises(InputError, match=r"bad\.jsonl"):
        load_examples(tmp_path / "bad.jsonl", load_tokenizer(base), 64, tmp_path)


def test_a_chat_that_ends_with_a_question_is_the_users_error(base, tmp_path):
    (tmp_path / "q.jsonl").write_text(json.dumps({"messages": [{"role": "user", "content": "q"}] * 2}))
    with pytest.raises(InputError, match="example 1 does not end with an answer"):
        load_examples(tmp_path / "q.jsonl", load_tokenizer(base), 64, tmp_path)
