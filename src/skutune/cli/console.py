"""Output of the commands: progress bars on a terminal, one JSON event per line elsewhere."""

from __future__ import annotations

import json
import os
import sys
import time
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, Task, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.text import Text

from skutune.errors import InputError, SkutuneError
from skutune.pipeline.graph import Stage
from skutune.pipeline.manifests import Manifest
from skutune.process.progress import Progress

_EVENT_SECONDS = 5.0


def is_terminal() -> bool:
    """Whether stderr is a terminal."""
    return sys.stderr.isatty()


def say(text: str) -> None:
    """Print a line to stderr. If stderr is closed, the work continues."""
    try:
        print(text, file=sys.stderr, flush=True)
    except BrokenPipeError:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - stays open until the process exits


def event(name: str, **fields: Any) -> None:
    """Print a JSON event to stderr."""
    say(_event_line(name, **fields))


def print_result(text: str, **fields: Any) -> None:
    """Print the result of a command: `text` on a terminal, a `finished` event elsewhere."""
    if is_terminal():
        say(text)
    else:
        event("finished", **fields)


def report_error(error: SkutuneError) -> int:
    """Print an error and return its exit code."""
    say(format_error(error))
    return error.exit_code


def format_error(error: SkutuneError) -> str:
    """Format an error as text on a terminal, as a JSON event elsewhere."""
    if is_terminal():
        return f"skutune: {error}"
    fields: dict[str, Any] = {}
    if isinstance(error, InputError) and error.problems:
        fields["problems"] = [{"where": each.where, "what": each.what} for each in error.problems]
    return _event_line("error", message=str(error), exit_code=error.exit_code, **fields)


def _event_line(name: str, **fields: Any) -> str:
    return json.dumps({"event": name, "time": round(time.time(), 3), **fields}, ensure_ascii=False)


class EventObserver:
    """Logs JSON events when a stage starts, every few seconds, and when it finishes."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}

    def __enter__(self) -> EventObserver:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def stage_started(self, stage: Stage, parts: int) -> None:
        event("stage_started", stage=stage.name, missing_parts=parts)

    def progressed(self, progress: Progress) -> None:
        name = f"{progress.stage}/{progress.shard}"
        if not progress.activity and time.monotonic() - self._last.get(name, 0) < _EVENT_SECONDS:
            return
        self._last[name] = time.monotonic()
        event(
            "progress",
            stage=progress.stage,
            shard=progress.shard,
            done=round(progress.done, 3),
            total=round(progress.total, 3),
            unit=progress.unit,
            rows=progress.rows,
            rejected=progress.rejected,
            tokens=progress.completion_tokens,
            tokens_per_second=round(progress.tokens_per_second, 1),
            activity=progress.activity,
            seconds_left=None if progress.seconds_left is None else round(progress.seconds_left),
        )

    def stage_finished(self, stage: Stage, manifest: Manifest, seconds: float, resumed: bool) -> None:
        event("stage_finished", **summary(stage, manifest, seconds, resumed), resumed=resumed)


class TerminalObserver:
    """Shows one progress bar per stage."""

    def __init__(self) -> None:
        self.console = Console(stderr=True)
        self.bars = Bars(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description:<24}"),
            BarColumn(bar_width=24),
            _Amount(),
            _Speed(),
            TimeElapsedColumn(),
            _TimeLeft(),
            console=self.console,
        )
        self._tasks: dict[str, TaskID] = {}
        self._shards: dict[str, dict[int, Progress]] = {}

    def __enter__(self) -> TerminalObserver:
        self.bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.bars.stop()

    def stage_started(self, stage: Stage, parts: int) -> None:
        self._tasks[stage.name] = self.bars.add_task(stage.title, total=None, amount="", speed="")

    def progressed(self, progress: Progress) -> None:
        shards = self._shards.setdefault(progress.stage, {})
        shards[progress.shard] = progress
        done, total = sum(each.done for each in shards.values()), sum(each.total for each in shards.values())
        speed = sum(each.tokens_per_second for each in shards.values())
        amount = f"{done:,.0f} {progress.unit}" if not total else f"{done:,.0f}/{total:,.0f} {progress.unit}"
        tokens = sum(each.completion_tokens for each in shards.values())
        if progress.activity:
            amount = progress.activity
        elif tokens:
            amount += f", {tokens:,} tokens"
        self.bars.update(
            self._tasks[progress.stage],
            completed=min(done, total) if total else done,
            total=total or None,
            amount=amount,
            speed=f"{speed:,.0f} tokens/s" if speed else "",
        )

    def stage_finished(self, stage: Stage, manifest: Manifest, seconds: float, resumed: bool) -> None:
        task = self._tasks.get(stage.name)
        if task is None:
            task = self.bars.add_task(stage.title, total=1, amount="", speed="")
        rejected = f", {manifest.rejected():,} rejected" if manifest.rejected() else ""
        speed = manifest.tokens_per_second or 0
        self.bars.update(
            task,
            total=1,
            completed=1,
            amount=(f"{manifest.rows():,} rows{rejected}" if manifest.rows() else "done")
            + (", unchanged" if resumed else ""),
            speed=f"{speed:,.0f} tokens/s" if speed >= 1 and not resumed else "",
        )


def summary(stage: Stage, manifest: Manifest, seconds: float, resumed: bool) -> dict[str, Any]:
    """The statistics of a finished stage, for its event; one that was complete before cost no tokens."""
    return {
        "stage": stage.name,
        "rows": manifest.rows(),
        "rejected": manifest.rejected(),
        "items": manifest.stats.items,
        "reused": manifest.stats.reused,
        "completion_tokens": 0 if resumed else manifest.stats.completion_tokens,
        "seconds": round(seconds, 2),
        "peak_memory_mib": round(manifest.stats.peak_memory_bytes / 2**20),
    }


def run_observer() -> TerminalObserver | EventObserver:
    """Progress bars on a terminal, events elsewhere."""
    return TerminalObserver() if is_terminal() else EventObserver()


class _Amount(TextColumn):
    def __init__(self) -> None:
        super().__init__("{task.fields[amount]}")


class _Speed(TextColumn):
    def __init__(self) -> None:
        super().__init__("{task.fields[speed]}")


class _TimeLeft(TextColumn):
    """The estimated time left, if the total is known."""

    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Task) -> Text:
        if task.finished or not task.total or not task.completed or not task.elapsed:
            return Text("")
        left = task.elapsed * (task.total - task.completed) / task.completed
        minutes, seconds = divmod(int(left), 60)
        return Text(f"{minutes}:{seconds:02d} left", style="cyan")
