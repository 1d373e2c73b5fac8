"""The commands that look at a run or ask it something: status, runs, ask, explain, report."""

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

StoreOption = Annotated[str, typer.Option("--store", help="Local folder or s3://bucket/prefix.")]
RunOption = Annotated[str | None, typer.Option("--run", help="Name of the run. Default: the last that finished.")]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]
_PIPE_COLUMNS = 160


def status(
    store: StoreOption = "./runs",
    run: RunOption = None,
    watch: Annotated[bool, typer.Option(help="Show it again every two seconds until the run ends.")] = False,
    as_json: JsonOption = False,
    release: Annotated[
        str | None, typer.Option(help="A release of the chart: its status by kubectl's rights, without the store.")
    ] = None,
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", help="Of the release. Default: the kubeconfig's.")
    ] = None,
) -> None:
    """Show how far a run is: stages, rows, tokens, what each waits for."""
    from skutune.pipeline import runs as records
    from skutune.pipeline.status import run_state, stage_statuses, waiting

    if release is not None:
        _show_release(release, namespace, watch, as_json)
        return
    opened, info = open_run(store, run)
    while True:
        stages, state = stage_statuses(opened, info), run_state(opened, info.run)
        if as_json:
            print(json.dumps(_status_document(info, state, stages), indent=None if watch else 1), flush=True)
        else:
            console = Console() if sys.stdout.isatty() else Console(width=_PIPE_COLUMNS)
            console.print(_status_table(info, state, stages))
            for words in (*waiting(opened, info.run), state.message):
                if words:
                    console.print(words, markup=False, highlight=False)
        if not watch or state.state != "running":
            return
        time.sleep(2)
        info = records.require_run(opened, info.run)


def runs(store: StoreOption = "./runs", as_json: JsonOption = False) -> None:
    """List the runs in a store."""
    from skutune.pipeline import runs as records
    from skutune.store import open_store

    opened = open_store(store)
    latest = records.latest(opened)
    names = records.list_runs(opened)
    if as_json:
        print(json.dumps([{"run": name, "latest": name == latest} for name in names]))
        return
    for name in names:
        print(f"{name} (latest)" if name == latest else name)


def ask(
    context: typer.Context,
    question: Annotated[str, typer.Argument(help="What a shopper would ask.")],
    store: StoreOption = "./runs",
    run: RunOption = None,
    linked: Annotated[
        bool, typer.Option("--linked", help="The model names what it recommends, the run's linker finds the products.")
    ] = False,
    unavailable: Annotated[
        Path | None, typer.Option(help="File with the ids, one a line, that must not be recommended.")
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=48, help="Length of the answer at most.")] = 400,
    as_json: JsonOption = False,
) -> None:
    """Ask the tuned model. It can name only products of the catalog."""
    from skutune.serving.finished_run import answer_model, named_products

    if not question.strip():
        raise InputError("the question is empty; write what a shopper would ask")
    without = _ids(unavailable)
    opened, info = open_run(store, run)
    products = named_products(opened, info, context.obj) if linked else None
    with answer_model(opened, info, context.obj) as model:
        tell_unknown(without, model.trie.ids, unavailable)
        answer = model.ask(question, unavailable=without, linked=products, max_tokens=max_tokens)
    print(
        json.dumps({"question": question, "answer": asdict(answer.answer)}, ensure_ascii=False)
        if as_json
        else answer.text
    )


def explain(
    example: Annotated[str | None, typer.Argument(metavar="EXAMPLE-ID", help="Id of an example.")] = None,
    store: StoreOption = "./runs",
    run: RunOption = None,
    product: Annotated[str | None, typer.Option(help="Id of a product: all that was made of it.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the chain behind an example, or all that was made of a product."""
    from skutune.serving.explain import explain_example, explain_product, render

    if (example is None) == (product is None):
        raise InputError("name either an example's id or --product ID")
    opened, info = open_run(store, run)
    chain = (
        explain_product(opened, info, product) if product is not None else explain_example(opened, info, str(example))
    )
    print(json.dumps(chain, ensure_ascii=False, indent=1) if as_json else render(chain))


def report(
    store: StoreOption = "./runs",
    run: RunOption = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write a copy here.")] = None,
) -> None:
    """Say where the run's report is, or write a copy of it."""
    from skutune.pipeline import runs as records

    opened, info = open_run(store, run)
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


def open_run(store: str, run: str | None) -> tuple[ObjectStore, RunInfo]:
    """The store and the run that a command names, or the run that finished last. Raises InputError."""
    from skutune.pipeline import runs as records
    from skutune.store import open_store

    opened = open_store(store)
    name = run or records.latest(opened) or _only(records.list_runs(opened), opened.uri)
    return opened, records.require_run(opened, name)


def _only(names: list[str], uri: str) -> str:
    if len(names) == 1:
        return names[0]
    if not names:
        raise InputError(f"no runs in {uri}; name another store with --store, or start one with `skutune run`")
    raise InputError(f"several runs in {uri}, and none has finished: name one with --run: {', '.join(names)}")


def _ids(path: Path | None) -> list[str]:
    if path is None:
        return []
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except OSError as error:
        raise InputError(f"--unavailable {path}: {error.strerror}; name a file with one id a line") from None
    except UnicodeDecodeError:
        raise InputError(f"--unavailable {path}: not UTF-8 text; name a file with one id a line") from None


def tell_unknown(ids: list[str], known: Collection[str], path: Path | None) -> None:
    """Say how many ids no product has. Raises InputError where that is all of them: another catalog's, or no ids."""
    unknown = sorted(set(ids) - set(known))
    if unknown and len(unknown) == len(set(ids)):
        raise InputError(f"--unavailable {path}: none of its ids is in the catalog, such as {unknown[0][:40]!r}")
    if unknown:
        say(
            f"--unavailable {path}: {len(unknown)} of {len(set(ids))} ids are not in the catalog: {unknown[0][:40]!r} …"
        )


def _show_release(release: str, namespace: str | None, watch: bool, as_json: bool) -> None:
    """The copy of the status that a release's controller keeps in the cluster."""
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
    table.add_column("waits for")
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
            ", ".join(each.waits_for),
        )
    return table


def _percent(stage: StageStatus) -> str:
    done, total = sum(each["done"] for each in stage.progress), sum(each["total"] for each in stage.progress)
    return f" {min(1.0, done / total):.0%}" if stage.state == "running" and total else ""
