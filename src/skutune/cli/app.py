"""The `skutune` program: registers the commands and maps errors to exit codes."""

from __future__ import annotations

import logging
import os
import signal
import sys
import traceback
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from skutune.cli import catalog, cluster, inspect, link, pipeline, worker
from skutune.cli.console import report_error
from skutune.errors import InputError, SkutuneError, StoppedError, StopSignal
from skutune.process.threads import wait_passively

app = typer.Typer(
    name="skutune",
    help="Fine-tune an LLM on a product catalog, so that its answers name real products with their ids.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
catalog_app = typer.Typer(help="Validate a catalog before a run.", no_args_is_help=True)
config_app = typer.Typer(help="Show the config schema, or a config with all defaults.", no_args_is_help=True)
app.add_typer(catalog_app, name="catalog")
app.add_typer(config_app, name="config")

app.command("demo")(pipeline.demo)
app.command("run")(pipeline.run)
app.command("worker")(worker.worker)
app.command("controller")(cluster.controller)
app.command("status")(inspect.status)
app.command("runs")(inspect.runs)
app.command("ask")(inspect.ask)
app.command("link")(link.link)
app.command("explain")(inspect.explain)
app.command("report")(inspect.report)
catalog_app.command("check")(catalog.check)
config_app.command("schema")(catalog.config_schema)
config_app.command("show")(catalog.config_show)

_UsageError: Any = typer.BadParameter.__mro__[1]  # typer vendors click and exports only the subclass


def _print_version(is_asked: bool) -> None:
    if is_asked:
        print(f"skutune {version('skutune')}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    cache: Annotated[
        Path | None,
        typer.Option(envvar="SKUTUNE_CACHE", help="Cache folder for model weights. Default: ~/.cache/skutune."),
    ] = None,
) -> None:
    context.obj = cache or Path.home() / ".cache" / "skutune"


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run a command and exit with its exit code."""
    _quiet_libraries()
    wait_passively(os.environ)  # before a command loads PyTorch; workers inherit it
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    sys.exit(_run(arguments))


def _run(arguments: list[str] | None) -> int:
    try:
        code = app(args=arguments, standalone_mode=False)
    except _UsageError as error:
        hint = f" (see `{error.ctx.command_path} --help`)" if error.ctx else ""
        return report_error(InputError(f"{error.format_message()}{hint}"))
    except (StopSignal, typer.Abort):
        return report_error(
            StoppedError("stopped by a signal; completed work is kept, and the same command resumes from it")
        )
    except SystemExit as error:
        if not isinstance(error.__context__, BrokenPipeError):
            raise
        return 0  # stdout was closed by its reader; typer exits with 1, which would mean an internal error
    except SkutuneError as error:
        return report_error(error)
    except Exception as error:  # noqa: BLE001 - any other exception is an internal error
        traceback.print_exc()
        return report_error(SkutuneError(f"internal error: {type(error).__name__}: {error}"))
    return code if isinstance(code, int) else 0


def _stop(signal_number: int, frame: object) -> NoReturn:
    raise StopSignal


def _quiet_libraries() -> None:
    """Silence model libraries, which log to both stdout and stderr."""
    for name, value in {
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_NO_USAGE_STATS": "1",
    }.items():
        os.environ.setdefault(name, value)
    logging.getLogger("skutune").setLevel(logging.WARNING)
    logging.getLogger("DeepSpeed").disabled = True  # writes to stdout as soon as a library imports it
