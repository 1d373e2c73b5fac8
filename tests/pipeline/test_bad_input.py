"""Each bad input gets one clear error with its exit code, no traceback, and loses nothing."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from scripted_run import Pipeline
from servers import S3Server

from skutune.cli.app import _run
from skutune.store import open_store

HEADER = "product_id,product_name,aisle,department\n"
Command = Callable[..., tuple[int, str]]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command line; gives its exit code and the message of its error."""

    def run(*arguments: str) -> tuple[int, str]:
        code = _run(list(arguments))
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        errors = [json.loads(line) for line in captured.err.splitlines() if '"event": "error"' in line]
        assert len(errors) <= 1
        return code, errors[0]["message"] if errors else ""

    return run


CATALOGS = {
    "no such file": (None, "no such file"),
    "empty": (b"", "empty"),
    "header only": (HEADER.encode(), "no products"),
    "damaged utf-8": (HEADER.encode() + "1,Thé,a,b\n".encode() + b"2,Caf\xe9,a,b\n", "line 3"),
    "noise": (bytes(range(256)) * 40, "grocery.csv"),
    "missing column": (b"product_id,title\n1,Beans\n", "product_name"),
    "doubled column": (b"product_id,product_name,product_name\n1,Beans,Beans\n", "product_name"),
    "doubled id": (HEADER.encode() + b"1,Beans,a,b\n1,Bread,a,b\n", "line 3"),
    "doubled id after trimming": (HEADER.encode() + b"1,Beans,a,b\n 1 ,Bread,a,b\n", "line 3"),
    "empty name": (HEADER.encode() + b"1,Beans,a,b\n2,  ,a,b\n", "line 3"),
    "id with white space": (HEADER.encode() + b"1 2,Beans,a,b\n3,Bread,a,b\n", "line 2"),
    "too few fields": (HEADER.encode() + b"1,Beans,a,b\n2,Bread\n", "line 3"),
    "too many fields": (HEADER.encode() + b"1,Beans,a,b\n2,Bread,a,b,c,d\n", "line 3"),
    "endless name": (HEADER.encode() + b"1," + b"x" * 10_000 + b",a,b\n2,Bread,a,b\n", "line 2"),
}


@pytest.mark.parametrize("fault", CATALOGS)
def test_a_faulty_catalog_is_refused_with_the_place(command: Command, pipeline: Pipeline, fault: str) -> None:
    content, expected = CATALOGS[fault]
    catalog = pipeline.folder / "grocery.csv"
    catalog.unlink()
    if content is not None:
        catalog.write_bytes(content)
    code, message = command("run", "-c", str(pipeline.config), "--until", "ingest")
    assert code == 10
    assert expected in message
    assert "grocery.csv" in message


def test_a_folder_is_no_catalog(command: Command, pipeline: Pipeline) -> None:
    code, message = command("run", "-c", str(pipeline.config), "--set", f"catalog.source={pipeline.folder}")
    assert code == 10
    assert "is a folder" in message


def test_noise_named_parquet_is_refused(command: Command, pipeline: Pipeline) -> None:
    noise = pipeline.folder / "noise.parquet"
    noise.write_bytes(b"PAR1" + bytes(range(256)) + b"PAR1")
    code, message = command("run", "-c", str(pipeline.config), "--set", f"catalog.source={noise}")
    assert code == 10
    assert "noise.parquet" in message


def test_quoted_newlines_and_a_byte_order_mark_are_valid(command: Command, pipeline: Pipeline) -> None:
    text = "\ufeff" + HEADER + '1,"Baked\nBeans",a,b\n2,Bread,a,b\n'
    (pipeline.folder / "grocery.csv").write_text(text, encoding="utf-8")
    assert command("run", "-c", str(pipeline.config), "--until", "ingest") == (0, "")


def test_rejects_are_kept_with_their_reason_where_they_are_allowed(pipeline: Pipeline) -> None:
    from skutune.pipeline import runs
    from skutune.pipeline.tables import read_part
    from skutune.records import Reject

    (pipeline.folder / "grocery.csv").write_text(HEADER + "1,Beans,a,b\n1,Bread,a,b\n2,,a,b\n", encoding="utf-8")
    pipeline.write(catalog__max_rejects=2)
    code, stderr = pipeline.run("--until", "ingest")
    assert code == 0, stderr
    store = open_store(pipeline.store)
    folder, manifest = runs.stage_output(store, runs.require_run(store, "sample"), "ingest")
    rejects = list(read_part(store, folder, Reject, manifest.parts("rejects")[0]))
    assert [reject.line for reject in rejects] == [3, 4]


CONFIGS = {
    "unknown key": ({"stages__describe__methud": "llm"}, ["stages.describe.methud", "method"]),
    "out of range": ({"stages__recommend__max_items": 9}, ["stages.recommend.max_items", "5"]),
    "wrong type": ({"stages__question__per_product": "many"}, ["stages.question.per_product"]),
    "bad run name": ({"run": "Not A Name"}, ["run"]),
    "several": (
        {"stages__describe__methud": 1, "coverage__min_examples": -1, "stages__link__precision": 2},
        ["stages.describe.methud", "coverage.min_examples", "stages.link.precision", "3 problems"],
    ),
}


@pytest.mark.parametrize("fault", CONFIGS)
def test_a_faulty_config_is_refused_with_every_path(command: Command, pipeline: Pipeline, fault: str) -> None:
    changes, expected = CONFIGS[fault]
    pipeline.write(**changes)
    code, message = command("run", "-c", str(pipeline.config))
    assert code == 10
    for each in expected:
        assert each in message


def test_an_unknown_model_is_refused_before_any_work(command: Command, pipeline: Pipeline) -> None:
    pipeline.write(models__generator={"name": "./no-such-model", "engine": "transformers"})
    code, message = command("run", "-c", str(pipeline.config), "--until", "describe")
    assert code == 10
    assert "no-such-model" in message


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["run", "-c", "CONFIG", "--until", "nothing"], "valid stages: ingest"),
        (["run", "-c", "CONFIG", "--from", "nothing"], "valid stages: ingest"),
        (["run", "-c", "CONFIG", "--bogus"], "--bogus"),
        (["run"], "--config"),
        (["bogus"], "bogus"),
        (["run", "-c", "CONFIG", "--set", "nonsense"], "path.to.setting=value"),
        (["run", "-c", "CONFIG", "--store", "http://x/y"], "s3://bucket/prefix"),
        (["status", "--store", "EMPTY"], "no runs in"),
        (["status", "--store", "EMPTY", "--run", "other"], "no run 'other'"),
        (["ask", "--store", "EMPTY", "What?"], "no runs in"),
        (["ask", "--store", "EMPTY", "  "], "empty"),
        (["explain", "--store", "EMPTY"], "--product"),
        (["worker", "--task", "nowhere", "--shard", "0"], "URI of a task"),
        (["catalog", "check", "EMPTY/nothing.csv"], "no such file"),
        (["config", "show", "-c", "EMPTY/nothing.yaml"], "no such file"),
    ],
)
def test_a_wrong_command_line_says_what_to_write(
    command: Command, pipeline: Pipeline, tmp_path: Path, arguments: list[str], expected: str
) -> None:
    filled = [each.replace("CONFIG", str(pipeline.config)).replace("EMPTY", str(tmp_path)) for each in arguments]
    code, message = command(*filled)
    assert code == 10
    assert expected in message


def test_a_run_asked_too_early_says_how_far_it_is(command: Command, pipeline: Pipeline) -> None:
    assert command("run", "-c", str(pipeline.config), "--until", "ingest")[0] == 0
    for arguments in (["ask", "What?"], ["link", "beans"], ["report"], ["explain", "32717/1"]):
        code, message = command(*arguments, "--store", pipeline.store, "--run", "sample")
        assert code == 10, arguments
        assert "skutune" in message, arguments
    _, message = command("report", "--store", pipeline.store, "--run", "sample")
    assert "has no report: it is until ingest, 1 of 15 stages are complete (ingest)" in message
    _, message = command("ask", "--linked", "What?", "--store", pipeline.store, "--run", "sample")
    assert "--linked needs the linker of the run and its encoder: " in message
    assert "classify" in message


def test_an_unreachable_store_is_worth_another_try(
    command: Command, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = S3Server(f"http://127.0.0.1:{port}", "key", "secret", "bucket")
    server.set_environment(monkeypatch)
    code, message = command("run", "-c", str(pipeline.config), "--store", "s3://bucket/runs")
    assert code == 75
    assert str(port) in message


def test_a_store_that_refuses_is_not_tried_again(
    command: Command,
    pipeline: Pipeline,
    seaweedfs: S3Server,
    seaweedfs_reader: S3Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = ("run", "-c", str(pipeline.config), "--until", "ingest", "--store")
    seaweedfs.set_environment(monkeypatch)
    code, message = command(*run, "s3://no-such-bucket-here/runs")
    assert (code, "no-such-bucket-here" in message) == (10, True)
    seaweedfs_reader.set_environment(monkeypatch)
    code, message = command(*run, f"s3://{seaweedfs.bucket}/runs")
    assert code == 10
    S3Server(seaweedfs.endpoint, "nobody", "wrong", seaweedfs.bucket).set_environment(monkeypatch)
    code, message = command(*run, f"s3://{seaweedfs.bucket}/runs")
    assert code == 10
    assert "AWS_ACCESS_KEY_ID" in message


def test_a_fault_in_mid_run_loses_nothing(command: Command, pipeline: Pipeline) -> None:
    assert command("run", "-c", str(pipeline.config), "--until", "describe")[0] == 0
    before = pipeline.tables()
    good = (pipeline.folder / "grocery.csv").read_bytes()
    (pipeline.folder / "grocery.csv").write_bytes(b"")
    assert command("run", "-c", str(pipeline.config))[0] == 10
    assert pipeline.tables() == before
    (pipeline.folder / "grocery.csv").write_bytes(good)
    assert command("run", "-c", str(pipeline.config), "--until", "describe")[0] == 0
    assert pipeline.tables() == before


def test_catalog_check_prints_each_problem_with_its_line(
    pipeline: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog = pipeline.folder / "grocery.csv"
    catalog.write_text(HEADER + "1,Beans,a,b\n1,Bread,a,b\n2,,a,b\n", encoding="utf-8")
    arguments = ["catalog", "check", str(catalog), "--id", "product_id", "--name", "product_name"]
    code = _run(arguments)
    printed = capsys.readouterr().out
    assert code == 10
    assert "line 3" in printed
    assert "line 4" in printed
    assert _run([*arguments, "--max-rejects", "2"]) == 0


def test_a_run_that_needs_a_model_named_none_asks_no_hub(command: Command, pipeline: Pipeline) -> None:
    code, message = command("run", "-c", str(pipeline.config))
    assert code == 10
    assert "models.base.name: is none, but a stage of this run needs it" in message


def test_a_base_model_that_cannot_chat_is_refused_before_anything_is_generated(pipeline: Pipeline) -> None:
    from tests.chat_families import Family

    unfit = Family(("<s>",), "<s>", "<s>", "{% for message in messages %}{{ message.content }}\n{% endfor %}")
    pipeline.write(models__base={"name": str(unfit.save(pipeline.folder / "unfit"))})
    code, stderr = pipeline.run("--until", "finetune")
    assert code == 10
    assert "no special token, so no answer would end" in stderr
    assert '"stage": "describe"' not in stderr


def test_a_stage_that_keeps_no_row_ends_the_run_and_a_lower_limit_resumes_it(pipeline: Pipeline) -> None:
    pipeline.write(models__generator={"name": "none", "engine": "scripted", "malformed_rate": 1.0})
    for _ in range(2):  # a resumed run ends for the same reason
        code, stderr = pipeline.run("--until", "compose")
        assert code == 10
        assert "recommend kept 0 of" in stderr
        assert "stages.recommend.min_kept (50%)" in stderr
        assert '"stage": "link"' not in stderr
    pipeline.write(models__generator={"name": "none", "engine": "scripted", "malformed_rate": 0.3})
    code, stderr = pipeline.run("--until", "recommend", "--set", "stages.recommend.min_kept=1.0")
    assert code == 10
    assert "stages.recommend.min_kept (100%)" in stderr
    code, stderr = pipeline.run("--until", "recommend")
    assert code == 0, stderr
    assert '"resumed": true' in stderr.splitlines()[-2]
