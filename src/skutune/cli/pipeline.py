"""The commands that run the pipeline on this machine: demo, run."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
import yaml

from skutune.cli.console import is_terminal, print_result, run_observer, say
from skutune.config.load import load_config, parse_config
from skutune.config.schema import Config
from skutune.config.yaml_file import apply_overrides
from skutune.errors import InputError

if TYPE_CHECKING:
    from skutune.local.runner import Options
    from skutune.pipeline.runs import RunInfo
    from skutune.store import ObjectStore

StoreOption = Annotated[str | None, typer.Option("--store", help="Store: a local folder or s3://bucket/prefix.")]

# Overrides for the tiny demo, which runs the same stages over four products.
_TINY = (
    "run=demo-tiny",
    "stages.describe.attempts=1",
    "stages.describe.min_sentences=1",
    "stages.describe.max_sentences=2",
    "stages.describe.sampling.max_tokens=48",
    "stages.paraphrase.variants=1",
    "stages.paraphrase.attempts=1",
    "stages.paraphrase.sampling.max_tokens=48",
    "stages.question.per_product=1",
    "stages.question.attempts=1",
    "stages.question.sampling.max_tokens=48",
    "stages.recommend.attempts=2",
    "stages.expand.attempts=1",
    "stages.expand.sampling.max_tokens=32",
    "stages.answer.attempts=1",
    "stages.answer.sampling.max_tokens=160",
    "stages.compose.hold_out_products=0.25",
    "stages.compose.hold_out_questions=0",
    "stages.finetune.epochs=2",
    "stages.evaluate.questions=1",
    "stages.evaluate.max_tokens=64",
    "stages.evaluate.recall=1",
    "stages.evaluate.judge.model=none",
    "coverage.min_examples=1",
)
_TINY_PRODUCTS = 4
_DEMO_TOKENS = {"full": 256, "tiny": 144}


def demo(
    context: typer.Context,
    size: Annotated[Literal["full", "tiny"], typer.Option(help="tiny: four products in about a minute.")] = "full",
    store: StoreOption = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="A.B=C", help="Override a setting; repeatable.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Stop after this stage.")] = None,
    parallel: Annotated[int, typer.Option(min=1, help="Number of worker processes.")] = 1,
) -> None:
    """Run the pipeline on a sample catalog with a small LLM, then ask the tuned model a question."""
    from skutune.local.runner import Options
    from skutune.samples import DEMO_QUESTION

    config = _demo_config(context.obj, size, store, overrides or [])
    _run(config, context.obj, Options(until=until, shards=parallel))
    if until is not None:
        return
    _ask_demo(config, context.obj, DEMO_QUESTION, _DEMO_TOKENS[size])


def run(
    context: typer.Context,
    config_file: Annotated[Path, typer.Option("--config", "-c", help="Config file (YAML).")],
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="A.B=C", help="Override a setting; repeatable.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Stop after this stage.")] = None,
    first: Annotated[
        str | None,
        typer.Option("--from", help="Start at this stage; fails if a stage that it depends on is not complete."),
    ] = None,
    store: StoreOption = None,
    name: Annotated[str | None, typer.Option("--run", help="Run name; overrides the config.")] = None,
    base: Annotated[
        str | None, typer.Option(help="Reuse rows of this earlier run where the inputs are the same.")
    ] = None,
    parallel: Annotated[int, typer.Option(min=1, help="Number of worker processes.")] = 1,
) -> None:
    """Run the pipeline on this machine, or resume it."""
    from skutune.local.runner import Options
    from skutune.pipeline import graph

    for each in (until, first):
        if each is not None:
            graph.stage(each)
    changes = list(overrides or [])
    if name is not None:
        changes.append(f"run={json.dumps(name)}")
    config = load_config(config_file, changes)
    if store is not None:
        config = config.model_copy(update={"store": _absolute(store)})
    _run(config, context.obj, Options(until, first, base, parallel))
    print_result(f"Results in {config.store}/{config.run}", results=f"{config.store}/{config.run}")


def _run(config: Config, cache: Path, options: Options) -> None:
    from skutune.local.runner import run_pipeline
    from skutune.store import open_store

    store = open_store(config.store)
    with run_observer() as observer:
        run_pipeline(config, store, cache, observer, options)


def _demo_config(cache: Path, size: str, store: str | None, overrides: list[str]) -> Config:
    """The packaged config, with paths to the sample catalog and the small models."""
    from skutune.samples import SAMPLE_PRODUCTS, demo_config, verdicts, write_sample
    from skutune.samples.models import prepare_encoder, prepare_generator

    products = _TINY_PRODUCTS if size == "tiny" else SAMPLE_PRODUCTS
    catalog = cache / "samples" / f"grocery-{products}.csv"
    catalog.parent.mkdir(parents=True, exist_ok=True)
    write_sample(catalog, products)
    if not (cache / "models" / "smollm2-135m-instruct" / "config.json").exists():
        say("Preparing the small language model (once, about half a minute) …")
    generator, encoder = prepare_generator(cache), prepare_encoder()
    document = yaml.safe_load(demo_config())
    document["store"] = _absolute(store or "./runs")
    document["catalog"]["source"] = str(catalog)
    labels = catalog.with_name("verdicts.jsonl")
    labels.write_text(verdicts(), encoding="utf-8")
    document["stages"]["evaluate"]["judge"] = {"labels": str(labels)}
    for role, folder in (("generator", generator), ("encoder", encoder), ("base", generator)):
        document["models"][role]["name"] = str(folder)
    apply_overrides(document, [*(_TINY if size == "tiny" else ()), *overrides])
    return parse_config(document, "demo config")


def _ask_demo(config: Config, cache: Path, question: str, max_tokens: int) -> None:
    from skutune.pipeline import runs
    from skutune.store import NotFoundError, open_store

    store = open_store(config.store)
    info = runs.require_run(store, config.run)
    if is_terminal():
        say(f"\nAsking the tuned model: {question}\n")
    # Decoding is deterministic, so the answer is cached: a repeated demo need not load the model.
    folder, _ = runs.stage_output(store, info, "finetune")
    answer_key = f"{folder}/demo-answer.txt"
    try:
        text = store.get(answer_key).decode()
    except NotFoundError:
        text = _answer(store, info, cache, question, max_tokens)
        store.put(answer_key, text.encode())
    print(text, flush=True)
    report = f"{config.store}/{config.run}/report.html"
    store_option = "" if config.store == str(Path("runs").resolve()) else f" --store {config.store}"
    command = f'skutune ask{store_option} --run {config.run} "What goes well with grilled chicken?"'
    print_result(f"\nReport: {report}\nAsk more: {command}", report=report)


def _answer(store: ObjectStore, info: RunInfo, cache: Path, question: str, max_tokens: int) -> str:
    from skutune.serving.finished_run import answer_model

    with answer_model(store, info, cache) as model:
        return model.ask(question, max_tokens=max_tokens).text


def _absolute(store: str) -> str:
    if "://" in store:
        return store
    if not store.strip():
        raise InputError("--store is empty; use a folder or s3://bucket/prefix")
    return os.path.abspath(os.path.expanduser(store))
