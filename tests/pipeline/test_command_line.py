"""Edge cases of the commands: closed pipes, changed runs, orphaned workers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from scripted_run import Pipeline

from skutune.cli.app import _run


def _skutune(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "skutune", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]


def test_closing_stderr_does_not_stop_a_run(pipeline: Pipeline) -> None:
    process = pipeline.start("--until", "question")
    assert process.stderr is not None
    process.stderr.readline()
    process.stderr.close()
    process.wait(timeout=120)
    assert process.returncode == 0
    assert "question" in pipeline.tables()


def test_a_closed_pipe_is_not_an_error(pipeline: Pipeline) -> None:
    assert pipeline.run("--until", "ingest")[0] == 0
    command = f"'{sys.executable}' -m skutune config schema | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stdout == "{\n"
    assert "Error" not in done.stderr


def test_a_run_name_may_consist_of_digits(pipeline: Pipeline) -> None:
    code, stderr = pipeline.run("--run", "20240101", "--until", "ingest")
    assert code == 0, stderr
    assert "ingest" in pipeline.tables("20240101")


def test_outputs_of_an_old_catalog_are_not_shown_after_it_changed(
    pipeline: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pipeline.run()[0] == 0
    with (pipeline.folder / "grocery.csv").open("a", encoding="utf-8") as file:
        file.write("99999,Pumpkin Pie,bakery desserts,bakery\n")
    assert pipeline.run("--until", "ingest")[0] == 0
    where = ("--store", pipeline.store, "--run", "sample")
    assert _run(["status", "--json", *where]) == 0
    document = json.loads(capsys.readouterr().out)
    assert {each["stage"]: each["state"] for each in document["stages"]}["compose"] == "waiting"
    assert document["state"].startswith("until")
    assert _run(["explain", "--product", "99999", *where]) == 0
    assert "Pumpkin Pie" in capsys.readouterr().out
    code, stderr = pipeline.run()
    assert code == 0, stderr
    finished = [json.loads(line) for line in stderr.splitlines() if '"stage_finished"' in line]
    describe_event = next(event for event in finished if event["stage"] == "describe")
    assert (describe_event["items"], describe_event["reused"]) == (17, 16)


def test_watch_exits_when_the_run_ends(pipeline: Pipeline) -> None:
    assert pipeline.run("--until", "ingest")[0] == 0
    done = _skutune("status", "--watch", "--store", pipeline.store, timeout=60)
    assert done.returncode == 0
    assert "until ingest" in done.stdout
    assert "paraphrase" in done.stdout  # columns are not truncated in a pipe


def test_a_killed_run_is_shown_as_killed(pipeline: Pipeline) -> None:
    pipeline.kill_at("describe/*/task-a1.json")
    document = json.loads(_skutune("status", "--json", "--store", pipeline.store, "--run", "sample").stdout)
    assert document["state"] == "killed"


def test_a_modified_stage_file_is_an_error(pipeline: Pipeline) -> None:
    assert pipeline.run("--until", "classify")[0] == 0
    (file,) = Path(pipeline.store).glob("sample/classify/*/linker/linker.json")
    text = file.read_text(encoding="utf-8")
    digit = next(place for place, character in enumerate(text) if character in "123456789" and place > 40)
    file.write_text(text[:digit] + ("1" if text[digit] != "1" else "2") + text[digit + 1 :], encoding="utf-8")
    linked = _skutune("link", "--store", pipeline.store, "--run", "sample", "beans")
    assert linked.returncode == 1
    assert "linker.json" in linked.stderr
    assert "Traceback" not in linked.stderr


def test_more_attempts_retry_rejected_items(pipeline: Pipeline) -> None:
    pipeline.write(stages__recommend__attempts=1, models__generator__malformed_rate=0.4)
    assert pipeline.run("--until", "recommend")[0] == 0
    pipeline.write(stages__recommend__attempts=6, models__generator__malformed_rate=0.4)
    code, stderr = pipeline.run("--until", "recommend")
    assert code == 0, stderr
    event = next(
        json.loads(line) for line in stderr.splitlines() if '"stage_finished", ' in line and "recommend" in line
    )
    assert 0 < event["reused"] < event["items"]
    assert event["rejected"] < event["items"] - event["reused"]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_workers_exit_with_their_parent(pipeline: Pipeline) -> None:
    pipeline.write(stages__question__per_product=12)
    process = pipeline.start("--parallel", "2")
    workers: list[int] = []
    deadline = time.monotonic() + 60
    while not workers and time.monotonic() < deadline:
        workers = _children(process.pid)
        time.sleep(0.02)
    assert workers
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    while any(_is_alive(worker) for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [worker for worker in workers if _is_alive(worker)]


def test_missing_models_are_reported_before_any_stage_runs(pipeline: Pipeline) -> None:
    process = _skutune("run", "-c", str(pipeline.config), "--set", "models.base.name=./nowhere")
    assert process.returncode == 10
    assert "nowhere" in process.stderr
    assert '"stage": "describe"' not in process.stderr


def _children(pid: int) -> list[int]:
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
