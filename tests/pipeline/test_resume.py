"""An interrupted run that is resumed ends with the same tables as an uninterrupted one."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest
from scripted_run import Pipeline

from skutune.pipeline import runs
from skutune.pipeline.status import stage_statuses
from skutune.store import open_store


def test_twenty_kills_at_random_times_do_not_change_the_tables(pipeline: Pipeline, undisturbed: Pipeline) -> None:
    random_times, killed = random.Random(7), 0
    while killed < 20:
        if not pipeline.run_and_kill(random_times.uniform(0.5, 2.5)):
            # It finished first: start over, so that every kill hits a running process.
            assert pipeline.tables() == undisturbed.tables()
            pipeline = Pipeline(pipeline.folder, f"{pipeline.store}-{killed}")
            pipeline.write()
            continue
        killed += 1
    code, stderr = pipeline.run()
    assert code == 0, stderr
    assert pipeline.tables() == undisturbed.tables()
    for name in ("train.jsonl", "validation.jsonl"):
        assert pipeline.stage_file("compose", name) == undisturbed.stage_file("compose", name)


@pytest.mark.parametrize("stop_signal", [signal.SIGTERM, signal.SIGINT])
def test_a_run_stopped_by_a_signal_can_be_resumed(
    pipeline: Pipeline, undisturbed: Pipeline, stop_signal: signal.Signals
) -> None:
    process = pipeline.start()
    pipeline.wait_for("describe/*/task-a1.json")
    process.send_signal(stop_signal)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "the same command resumes from it" in stderr
    assert "Traceback" not in stderr
    assert pipeline.run()[0] == 0
    assert pipeline.tables() == undisturbed.tables()


def test_a_finished_run_does_not_write_stage_objects_again(pipeline: Pipeline) -> None:
    assert pipeline.run()[0] == 0
    before = _times(Path(pipeline.store))
    code, stderr = pipeline.run()
    assert code == 0
    assert _times(Path(pipeline.store)) == before
    assert '"resumed": false' not in stderr


def test_a_lost_part_is_produced_again(pipeline: Pipeline, undisturbed: Pipeline) -> None:
    assert pipeline.run()[0] == 0
    lost = sorted(Path(pipeline.store).glob("sample/recommend/*/part-00002-*.parquet"))
    lost[0].unlink()
    assert pipeline.run()[0] == 0
    assert lost[0].exists()
    assert pipeline.tables() == undisturbed.tables()


def test_a_modified_part_is_an_error(pipeline: Pipeline) -> None:
    assert pipeline.run("--until", "describe")[0] == 0
    modified = sorted(Path(pipeline.store).glob("sample/describe/*/part-00002-*.parquet"))[0]
    modified.write_bytes(modified.read_bytes()[:-1] + b"X")
    code, stderr = pipeline.run()
    assert code == 1
    assert modified.name in stderr
    assert "Traceback" not in stderr


def test_a_second_run_on_the_same_folder_is_rejected_while_the_first_is_running(pipeline: Pipeline) -> None:
    first = pipeline.start()
    lease = Path(pipeline.store) / "sample" / "lease.json"
    while not lease.exists():
        time.sleep(0.02)
    time.sleep(0.3)
    code, stderr = pipeline.run()
    assert code == 10
    assert "process" in stderr
    _, first_stderr = first.communicate(timeout=120)
    assert first.returncode == 0, first_stderr


def test_a_run_of_another_version_is_rejected_and_not_changed(pipeline: Pipeline) -> None:
    assert pipeline.run("--until", "ingest")[0] == 0
    record = Path(pipeline.store) / "sample" / "run.yaml"
    record.write_text(record.read_text().replace("version: 1", "version: 99", 1))
    code, stderr = pipeline.run()
    assert code == 10
    assert "another version" in stderr
    assert "version: 99" in record.read_text()


def test_status_shows_completed_and_waiting_stages(pipeline: Pipeline) -> None:
    assert pipeline.run("--until", "question")[0] == 0
    store = open_store(pipeline.store)
    statuses = {each.stage: each for each in stage_statuses(store, runs.require_run(store, "sample"))}
    assert statuses["question"].state == "done"
    assert statuses["question"].rows >= 16
    assert statuses["expand"].state == "waiting"
    assert statuses["expand"].waits_for == ("distinct",)


def _times(folder: Path) -> dict[str, int]:
    excluded = ("run.yaml", "status.json", "lease.json")
    return {
        str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file() and path.name not in excluded
    }
