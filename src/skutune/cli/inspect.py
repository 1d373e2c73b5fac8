"""The commands that inspect or query a run: status, runs, ask, explain, report."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from skutune.cli.console import say
from skutune.errors import InputError
from skutune.pipeline.runs import RunInfo
from skutune.pipeline.status import RunState, StageStatus
from skutune.store.base import ObjectStore

StoreOption = Annotated[str, typer.Option("--store", help="Store: a local folder or s3://bucket/prefix.")]
RunOption = Annotated[str | None, typer.Option("--run", help="Name of the run. Default: the last one that finished.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
_PIPE_COLUMNS = 160


def status(
    store: StoreOption = "./runs",
    run: RunOption = None,
    watch: Annotated[bool, typer.Option(help="Refresh every two seconds until the run ends.")] = False,
    as_json: JsonOption = False,
    release: Annotated[
        str | None, typer.Option(help="Name of a Helm release: read its status from the cluster instead of the store.")
    ] = None,
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", help="Namespace of the release. Default: that of the kubeconfig.")
    ] = None,
) -> None:
    """Show the status of a run: stages, rows, tokens, and what each stage waits for."""
    from skutune.pipeline import runs as records
    from skutune.pipeline.status import run_state, stage_statuses, waiting_reasons

    if release is not None:
        _show_release(release, namespace, watch, as_json)
        return
    opened, info = open_run(store, run)
    while True:
        stages, state = stage_statuses(opened, info), run_state(opened, info.run)
        if as_json:
            print(json.dumps(_status_document(info, state, stages), indent=None if watch else 1), flush=True)
        else:
            console = _console()
            console.print(_status_table(info, state, stages))
            for line in (*waiting_reasons(opened, info.run), state.message):
                if line:
                    console.print(line, markup=False, highlight=False)
        if not watch or state.state != "running":
            return
        time.sleep(2)
        info = records.require_run(opened, info.run)


def runs(store: StoreOption = "./runs", as_json: JsonOption = False) -> None:
    """List the runs in a store: how far they are, when they last changed, and how good their models are.

    The last column is the share of the references in the tuned model's free answers whose name and id agree.
    """
    from skutune.pipeline import runs as records
    from skutune.pipeline.run_summary import summarize_run
    from skutune.store import open_store

    opened = open_store(store)
    latest = records.latest(opened)
    summaries = [summarize_run(opened, name) for name in records.list_runs(opened)]
    if as_json:
        print(json.dumps([{**asdict(each), "latest": each.run == latest} for each in summaries]))
        return
    table = Table(box=None)
    for column in ("run", "state", "stages", "last change", "name = id"):
        table.add_column(column, no_wrap=True)
    for each in summaries:
        working = f", {', '.join(each.working)}" if each.state == "running" and each.working else ""
        table.add_row(
            f"{each.run} (latest)" if each.run == latest else each.run,
            each.state,
            f"{each.done}/{each.stages}{working}",
            "" if each.time is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(each.time)),
            "" if each.name_agrees is None else f"{each.name_agrees:.0%}",
        )
    _console().print(table)


def ask(
    context: typer.Context,
    question: Annotated[str, typer.Argument(help="A question as a shopper would ask it.")],
    store: StoreOption = "./runs",
    run: RunOption = None,
    linked: Annotated[
        bool,
        typer.Option("--linked", help="Let the model name products freely, and link the names with the run's linker."),
    ] = False,
    unavailable: Annotated[
        Path | None, typer.Option(help="File of product ids that must not be recommended, one per line.")
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=48, help="Maximum length of the answer, in tokens.")] = 400,
    as_json: JsonOption = False,
) -> None:
    """Ask the tuned model a question. It can only recommend products of the catalog."""
    from skutune.serving.finished_run import answer_model, load_name_resolver

    if not question.strip():
        raise InputError("the question is empty; ask what a shopper would ask")
    excluded = _read_ids(unavailable)
    opened, info = open_run(store, run)
    products = load_name_resolver(opened, info, context.obj) if linked else None
    with answer_model(opened, info, context.obj) as model:
        report_unknown_ids(excluded, model.trie.ids, unavailable)
        answer = model.ask(question, unavailable=excluded, linked=products, max_tokens=max_tokens)
    print(
        json.dumps({"question": question, "answer": asdict(answer.answer)}, ensure_ascii=False)
        if as_json
        else answer.text
    )


def explain(
    example: Annotated[str | None, typer.Argument(metavar="EXAMPLE-ID", help="Id of an example.")] = None,
    store: StoreOption = "./runs",
    run: RunOption = None,
    product: Annotated[
        str | None, typer.Option(help="Product id: show everything generated from this product.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show how an example was produced, or everything generated from a product."""
    from skutune.serving.explain import explain_example, explain_product, render

    if (example is None) == (product is None):
        raise InputError("specify either EXAMPLE-ID or --product ID")
    opened, info = open_run(store, run)
    chain = (
        explain_product(opened, info, product) if product is not None else explain_example(opened, info, str(example))
    )
    print(json.dumps(chain, ensure_ascii=False, indent=1) if as_json else render(chain))


def report(
    store: StoreOption = "./runs",
    run: RunOption = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Copy the report to this file.")] = None,
) -> None:
    """Print the location of the run's report, or copy it."""
    from skutune.pipeline import runs as records

    opened, info = open_run(store, run)
    if info.fingerprint("report") is None:
        raise InputError(_no_report(opened, info))
    folder, manifest = records.stage_output(opened, info, "report")
    key = f"{folder}/{manifest.file('report.html').name}"
    if output is None:
        print(f"{opened.uri}/{key}")
        return
    try:
        output.write_bytes(opened.get(key))
    except OSError as error:
        raise InputError(f"--output {output}: {error.strerror}") from None
    say(f"Wrote {output}")


def _no_report(store: ObjectStore, info: RunInfo) -> str:
    """What there is of a run without a report."""
    from skutune.pipeline.run_summary import summarize_run

    summary = summarize_run(store, info.run)
    done = ", ".join(info.stages or {}) or "none"
    return (
        f"run {info.run!r} has no report: it is {summary.state}, {summary.done} of {summary.stages} stages are "
        f"complete ({done}). The last stage writes the report; until then see `skutune status` and `skutune explain`"
    )


def open_run(store: str, run: str | None) -> tuple[ObjectStore, RunInfo]:
    """The store, and the named run or the last one that finished. Raises InputError."""
    from skutune.pipeline import runs as records
    from skutune.store import open_store

    opened = open_store(store)
    name = run or records.latest(opened) or _only_run(records.list_runs(opened), opened.uri)
    return opened, records.require_run(opened, name)


def _console() -> Console:
    return Console() if sys.stdout.isatty() else Console(width=_PIPE_COLUMNS)


def _only_run(names: list[str], uri: str) -> str:
    if len(names) == 1:
        return names[0]
    if not names:
        raise InputError(f"no runs in {uri}; choose another store with --store, or start a run with `skutune run`")
    raise InputError(f"no run in {uri} has finished; choose one with --run: {', '.join(names)}")


def _read_ids(path: Path | None) -> list[str]:
    if path is None:
        return []
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except OSError as error:
        raise InputError(f"--unavailable {path}: {error.strerror}; use a file with one id per line") from None
    except UnicodeDecodeError:
        raise InputError(f"--unavailable {path}: not UTF-8; use a text file with one id per line") from None


def report_unknown_ids(ids: list[str], known: Collection[str], path: Path | None) -> None:
    """Warn about ids that are not in the catalog. Raises InputError if none of them is."""
    unknown = sorted(set(ids) - set(known))
    if unknown and len(unknown) == len(set(ids)):
        raise InputError(
            f"--unavailable {path}: none of the ids is in the catalog, for example {unknown[0][:40]!r}; "
            "use ids of this catalog"
        )
    if unknown:
        say(
            f"--unavailable {path}: {len(unknown)} of {len(set(ids))} ids are not in the catalog, "
            f"for example {unknown[0][:40]!r}"
        )


def _show_release(release: str, namespace: str | None, watch: bool, as_json: bool) -> None:
    """Print the copy of the status that the controller keeps in the cluster."""
    from skutune.cluster.release_status import release_status

    while True:
        copy = release_status(release, namespace)
        print(copy.document if as_json else copy.summary, flush=True)
        if not watch or copy.state != "running":
            return
        time.sleep(2)


def _status_document(info: RunInfo, state: RunState, stages: list[StageStatus]) -> dict[str, Any]:
    return {**asdict(state), "run": info.run, "buckets": info.buckets, "stages": [asdict(stage) for stage in stages]}


def _status_table(info: RunInfo, state: RunState, stages: list[StageStatus]) -> Table:
    table = Table(title=f"run {info.run}: {state.state}", title_justify="left", box=None)
    for column in ("stage", "state", "parts", "rows", "rejected", "tokens", "tokens/s", "seconds"):
        left = column in ("stage", "state")
        table.add_column(column, justify="left" if left else "right", no_wrap=True)
    table.add_column("waits for, or time left")
    for each in stages:
        table.add_row(
            each.stage,
            each.state + _percent(each),
            f"{each.parts}/{each.buckets}" if each.buckets else "",
            f"{each.rows:,}",
            f"{each.rejected:,}",
            f"{each.completion_tokens:,}",
            f"{each.tokens_per_second:,.0f}" if each.tokens_per_second else "",
            f"{each.seconds:,.1f}",
            ", ".join(each.waits_for) or each.activity or _left(each.seconds_left),
        )
    return table


def _left(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"about {seconds / 60:.0f} min left" if seconds >= 90 else f"about {seconds:.0f} s left"


def _percent(stage: StageStatus) -> str:
    done, total = sum(each["done"] for each in stage.progress), sum(each["total"] for each in stage.progress)
    return f" {min(1.0, done / total):.0%}" if stage.state == "running" and total else ""
