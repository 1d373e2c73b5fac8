"""What the README tells a new user to type works, with the real models, at the tiny size."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from skutune.answer_format import parse
from skutune.samples import grocery_csv

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")

pytestmark = pytest.mark.model


def _commands() -> list[str]:
    """The lines behind `$` in the README's console blocks."""
    return [line[2:] for block in re.findall(r"```console\n(.*?)```", README, re.S) for line in block.splitlines()]


def _skutune(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of the README in a folder, with this environment's skutune."""
    arguments = command.replace(".venv/bin/skutune", "skutune").split(maxsplit=1)
    assert arguments[0] == "skutune", command
    quoted = re.findall(r'"([^"]*)"|(\S+)', arguments[1])
    return subprocess.run(
        [sys.executable, "-m", "skutune", *(first or second for first, second in quoted)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    folder = tmp_path_factory.mktemp("quick-start")
    (command,) = [each for each in _commands() if "--size tiny" in each]
    return folder, _skutune(command, folder)


def test_the_readme_names_targets_that_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = [command.split()[1] for command in _commands() if command.startswith("make ")]
    assert {"demo", "test"} <= set(targets)
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.M), target


def test_the_demo_ends_with_an_answer_that_names_products_of_the_catalog(
    finished: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, done = finished
    assert done.returncode == 0, done.stderr[-2000:]
    answer = parse(done.stdout.rstrip("\n"))
    known = {tuple(line.split(",")[:2]) for line in grocery_csv().splitlines()[1:5]}
    for item in answer.items:
        assert item.product is None or (item.product.id, item.product.name) in known
    report = Path(json.loads(done.stderr.splitlines()[-1])["report"])
    assert report.is_relative_to(folder)
    assert "<html" in report.read_text(encoding="utf-8")


def test_the_training_set_and_the_adapter_load_with_the_tools_of_the_field(
    finished: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    from datasets import load_dataset
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    folder, _ = finished
    (train,) = (folder / "runs" / "demo-tiny" / "compose").glob("*/train.jsonl")
    rows = load_dataset("json", data_files=str(train), split="train", cache_dir=str(folder / "datasets"))
    assert rows.num_rows >= 4
    assert [message["role"] for message in rows[0]["messages"]] == ["user", "assistant"]
    (adapter,) = (folder / "runs" / "demo-tiny" / "finetune").glob("*/adapter")
    base = AutoModelForCausalLM.from_pretrained(Path.home() / ".cache/skutune/models/smollm2-135m-instruct")
    tuned = PeftModel.from_pretrained(base, adapter)
    assert any(float(weights.abs().max()) > 0 for name, weights in tuned.named_parameters() if "lora_B" in name), (
        "the adapter was never trained"
    )


def test_a_second_demo_resumes(finished: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, first = finished
    again = _skutune("skutune demo --size tiny", folder)
    assert again.returncode == 0, again.stderr[-2000:]
    assert again.stdout == first.stdout
    ended = [json.loads(line) for line in again.stderr.splitlines() if '"stage_finished"' in line]
    assert len(ended) == 15
    assert all(event["resumed"] for event in ended)


def test_a_finished_run_answers_links_and_explains(finished: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, _ = finished
    linked = _skutune('skutune link --run demo-tiny "baked beans" "a car battery"', folder)
    beans, battery = (json.loads(line) for line in linked.stdout.splitlines())
    assert beans["product"]["id"] == "32717"
    assert battery["product"] is None
    assert battery["candidates"]
    asked = _skutune('skutune ask --run demo-tiny --json "What goes with ham?"', folder)
    assert json.loads(asked.stdout)["answer"]["items"], asked.stderr
    assert "trie" not in asked.stderr  # the kept one fits
    products = {line.split(",")[0] for line in grocery_csv().splitlines()[1:5]}
    named = _skutune('skutune ask --run demo-tiny --linked --json "What goes with ham?"', folder)
    for item in json.loads(named.stdout)["answer"]["items"]:
        assert item["product"] is None or item["product"]["id"] in products, named.stderr
    explained = _skutune("skutune explain --run demo-tiny --product 32717", folder)
    assert "Baked Beans" in explained.stdout
    status = json.loads(_skutune("skutune status --run demo-tiny --json", folder).stdout)
    assert {stage["state"] for stage in status["stages"]} == {"done"}
    copied = _skutune("skutune report --run demo-tiny -o page.html", folder)
    assert copied.returncode == 0
    assert (folder / "page.html").stat().st_size > 10_000
