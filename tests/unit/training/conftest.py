"""The byte model and files in the chat format, for every test of training."""

import json

import pytest
import torch
from byte_model import save_base
from training_task import make_training


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    return save_base(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def chat_file(tmp_path):
    """Writes (question, answer) pairs as JSON lines with the extra columns that a training set has."""

    def write(pairs, name="train.jsonl"):
        path = tmp_path / name
        rows = [
            {
                "id": str(number),
                "kind": "answer",
                "messages": [
                    {"role": "user", "content": question},
                    {"role": "assistant", "content": answer},
                ],
            }
            for number, (question, answer) in enumerate(pairs)
        ]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path

    return write


@pytest.fixture
def pairs():
    return [(f"What goes with dish {number}?", f"Baked Beans: id {number * 37}") for number in range(20)]


@pytest.fixture
def training(base, chat_file, pairs, tmp_path):
    """Makes a task in a folder of this name; settings of the training by name."""

    def make(name, base=base, examples=20, **settings):
        train, validation = chat_file(pairs[:examples]), chat_file(pairs[:4], "validation.jsonl")
        return make_training(tmp_path / name, base, train, validation, **settings)

    return make
