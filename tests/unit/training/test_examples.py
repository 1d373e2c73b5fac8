"""Examples are read and encoded once; what is wrong with them is said with its line."""

import json
import queue
import re
import threading
from pathlib import Path

import pytest

from skutune.errors import InputError, RetryableError
from skutune.prompts.chat_template import DEFAULT_TEMPLATE
from skutune.training.encoding import Encoded
from skutune.training.examples import _write_table, load_examples
from skutune.training.tokens import load_tokenizer


def test_prompt_and_completion_are_read_as_the_same_chat(base, chat_file, tmp_path):
    tokenizer, path = load_tokenizer(base), tmp_path / "pairs.jsonl"
    prompt, completion = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}
    path.write_text(json.dumps({"prompt": [prompt], "completion": [completion]}))
    one, other = (
        load_examples(path, tokenizer, 128, tmp_path),
        load_examples(chat_file([("q", "a")]), tokenizer, 128, tmp_path),
    )
    assert one.rows[0] == other.rows[0]


def test_what_is_cut_and_what_is_left_out_is_counted(base, chat_file, tmp_path):
    rows = [("q", "x" * 500), ("q" * 100, "a"), ("q", "short")]
    examples = load_examples(chat_file(rows), load_tokenizer(base), 64, tmp_path)
    assert (len(examples.rows), examples.cut, examples.left_out) == (2, 1, 1)


def test_lengths_tokens_and_taught_tokens_are_known(base, chat_file, tmp_path):
    examples = load_examples(chat_file([("q", "x" * 500), ("q", "short")]), load_tokenizer(base), 64, tmp_path)
    rows = list(examples.rows)
    assert list(examples.lengths) == [len(row["input_ids"]) for row in rows]
    assert examples.tokens == sum(examples.lengths)
    assert examples.taught == sum(weight > 0 for row in rows for weight in row["loss_weights"])
    assert all(len(row["labels"]) == len(row["loss_weights"]) == len(row["input_ids"]) for row in rows)


def test_a_description_example_is_known_by_its_kind(base, tmp_path):
    tokenizer, path = load_tokenizer(base), tmp_path / "kinds.jsonl"
    messages = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "Beans: id 7"}]
    rows = [{"messages": messages, "kind": kind} for kind in ("description", "answer")]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    examples = load_examples(path, tokenizer, 128, tmp_path / "cache", reference_weight=2.0)
    assert [sum(weight == 2.0 for weight in row["loss_weights"]) for row in examples.rows] == [len("Beans: id 7"), 0]


def test_no_room_for_any_answer_is_the_users_error(base, chat_file, tmp_path):
    with pytest.raises(InputError, match=r"none of the 1 fits into 64 tokens.*max_length"):
        load_examples(chat_file([("q" * 100, "a")]), load_tokenizer(base), 64, tmp_path)


def test_a_file_is_encoded_once_and_again_when_anything_of_it_is_another(base, chat_file, tmp_path):
    path, tokenizer, cache = chat_file([("q", "a")]), load_tokenizer(base), tmp_path / "cache"
    load_examples(path, tokenizer, 128, cache)
    load_examples(path, tokenizer, 128, cache)
    assert len(list(cache.iterdir())) == 1
    load_examples(path, tokenizer, 128, cache, reference_weight=2.0)
    load_examples(chat_file([("q", "another")]), tokenizer, 128, cache)
    tokenizer.chat_template = DEFAULT_TEMPLATE
    load_examples(path, tokenizer, 128, cache)
    assert len(list(cache.iterdir())) == 4


def test_a_waiting_process_sends_heartbeats_and_opens_what_another_encoded(base, chat_file, tmp_path, monkeypatch):
    path, tokenizer, cache = chat_file([("q", "a")]), load_tokenizer(base), tmp_path / "cache"
    waits, opened = threading.Event(), queue.Queue()
    monkeypatch.setattr("skutune.training.examples.heartbeat", waits.set)

    def wait() -> None:
        opened.put(load_examples(path, tokenizer, 128, cache, waits=True))

    threading.Thread(target=wait, daemon=True).start()
    assert waits.wait(timeout=60)
    assert opened.empty()
    load_examples(path, load_tokenizer(base), 128, cache)
    assert len(opened.get(timeout=60).rows) == 1


def test_only_the_first_lines_may_be_asked_for(base, chat_file, tmp_path):
    path = chat_file([("q", str(number)) for number in range(5)])
    assert len(load_examples(path, load_tokenizer(base), 128, tmp_path, limit=2).rows) == 2


def test_a_file_that_is_not_there_is_named(base, tmp_path):
    with pytest.raises(InputError, match=r"absent\.jsonl: no such file"):
        load_examples(tmp_path / "absent.jsonl", load_tokenizer(base), 64, tmp_path)


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ('{"messages": ', "not JSON"),
        ("[]", "neither `messages` nor"),
        ('{"text": "a"}', "neither `messages` nor"),
        ('{"messages": [{"role": "user"}, {"role": "assistant", "content": "a"}]}', "`role` and `content`"),
        ('{"messages": ["q", "a"]}', "`role` and `content`"),
        ('{"messages": []}', "does not end with an assistant message"),
        ('{"messages": [{"role": "assistant", "content": "a"}]}', "does not end with an assistant message"),
        (json.dumps({"messages": [{"role": "user", "content": "q"}] * 2}), "does not end with an assistant message"),
    ],
)
def test_a_line_that_is_no_example_is_named(base, tmp_path, line, wrong):
    good = json.dumps({"messages": [{"role": role, "content": "x"} for role in ("user", "assistant")]})
    (tmp_path / "bad.jsonl").write_text(f"{good}\n\n{line}\n")
    with pytest.raises(InputError, match=rf"bad\.jsonl, line 3: .*{re.escape(wrong)}"):
        load_examples(tmp_path / "bad.jsonl", load_tokenizer(base), 64, tmp_path)


def test_a_chat_that_the_template_refuses_is_the_users_error(base, chat_file, tmp_path):
    tokenizer = load_tokenizer(base)
    tokenizer.chat_template = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(InputError, match="lines 1 to 1: the chat template refuses a chat: roles must alternate"):
        load_examples(chat_file([("q", "a")]), tokenizer, 64, tmp_path)


def test_a_failed_encoding_leaves_nothing_that_could_be_taken_for_a_whole_one(base, tmp_path):
    (tmp_path / "bad.jsonl").write_text("{}\n")
    with pytest.raises(InputError):
        load_examples(tmp_path / "bad.jsonl", load_tokenizer(base), 64, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_disk_that_is_full_is_said_and_may_be_tried_again():
    many = [Encoded([1] * 5000, [1] * 5000, [1.0] * 5000, False)] * 50
    with pytest.raises(RetryableError, match=r"/dev/full: .*free some space"):
        _write_table(Path("/dev/full"), iter([many]))
