"""The commands in the READMEs work, with the real models, at the tiny size."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from skutune.answer_format import parse
from skutune.samples import grocery_csv

ROOT = Path(__file__).parents[2]
READMES = [ROOT / "README.md", *sorted((ROOT / "src" / "skutune").glob("*/README.md"))]
CONFIG = """
run: grocery
catalog:
  source: products.csv
  columns: {id: product_id, name: product_name, attributes: [aisle, department]}
  buckets: 2
models:
  generator: {name: none, engine: scripted}
  encoder: {name: none, engine: scripted}
  base: {name: none}
stages: {question: {per_product: 2}, classify: {epochs: 0}}
"""

pytestmark = pytest.mark.model


def _commands(readme: Path) -> list[str]:
    """The lines after `$` in a README's console blocks."""
    blocks = re.findall(r"```console\n(.*?)```", readme.read_text(encoding="utf-8"), re.S)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]


def _later_commands() -> list[tuple[str, str]]:
    """What the READMEs do with a finished run. The whole pipeline, `skutune run` to the end, is what the demo runs."""
    first_in: dict[str, str] = {}
    for readme in READMES:
        for command in _commands(readme):
            if not command.startswith(("make ", ".venv/bin/")) and command != "skutune run -c grocery.yaml":
                first_in.setdefault(command, str(readme.relative_to(ROOT)))
    return [(readme, command) for command, readme in first_in.items()]


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
    (command,) = [each for each in _commands(READMES[0]) if "--size tiny" in each]
    return folder, _skutune(command, folder)


def test_the_readme_names_targets_that_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = [command.split()[1] for command in _commands(READMES[0]) if command.startswith("make ")]
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
    from peft import AutoPeftModelForCausalLM, PeftModel
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
    assert AutoPeftModelForCausalLM.from_pretrained(adapter).peft_config, "PEFT finds the base model by itself"


def test_a_second_demo_resumes(finished: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, first = finished
    again = _skutune("skutune demo --size tiny", folder)
    assert again.returncode == 0, again.stderr[-2000:]
    assert again.stdout == first.stdout
    ended = [json.loads(line) for line in again.stderr.splitlines() if '"stage_finished"' in line]
    assert len(ended) == 15
    assert all(event["resumed"] for event in ended)
    assert not any(event["completion_tokens"] for event in ended), "nothing was generated again"


def test_a_finished_run_answers_links_and_explains(finished: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, _ = finished
    linked = _skutune('skutune link --json --run demo-tiny "baked beans" "a car battery"', folder)
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


@pytest.mark.parametrize(("readme", "command"), _later_commands())
def test_the_commands_of_the_readmes_work_on_a_finished_run(
    readme: str, command: str, finished: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    folder, _ = finished
    (folder / "grocery.yaml").write_text(CONFIG)
    (folder / "products.csv").write_text(grocery_csv())
    program = folder / "bin" / "skutune"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m skutune "$@"\n')
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, f"{readme}: {done.stderr[-2000:]}"
