"""Runs the shards of a task as subprocesses, as pods do on a cluster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

from skutune.errors import BY_EXIT_CODE, RetryableError, SkutuneError
from skutune.pipeline.manifests import Task
from skutune.process.error_log import last_error_message
from skutune.process.progress import Progress
from skutune.process.threads import share_processors
from skutune.store.base import NotFoundError, ObjectStore

_STOP_SECONDS = 20.0
_PROGRESS_SECONDS = 1.0  # for progress bars; the store is usually local


class WorkerProcesses:
    """One worker process per shard of a task; leaving the context terminates them."""

    def __init__(self, store: ObjectStore, task: Task, cache: Path) -> None:
        self.store, self.task = store, task
        self.processes: list[tuple[subprocess.Popen[bytes], IO[bytes]]] = []
        self.cache = cache

    def __enter__(self) -> WorkerProcesses:
        environment = dict(os.environ)
        share_processors(environment, len(self.task.shards))
        for shard in range(len(self.task.shards)):
            log = tempfile.TemporaryFile()
            command = [sys.executable, "-m", "skutune", "--cache", str(self.cache), "worker"]
            command += ["--task", f"{self.store.uri}/{self.task.key}", "--shard", str(shard), "--with-parent"]
            command += ["--progress-seconds", str(_PROGRESS_SECONDS)]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment)
            self.processes.append((process, log))
        return self

    def __exit__(self, *_: object) -> None:
        for process, _log in self.processes:
            process.terminate()  # no effect if it has exited
        for process, log in self.processes:
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            log.close()

    def running(self) -> bool:
        """Whether some shards are still running and none has failed."""
        codes = [process.poll() for process, _ in self.processes]
        return any(code is None for code in codes) and not any(code for code in codes)

    def check(self) -> None:
        """Raise the error of the first shard that failed."""
        for shard, (process, log) in enumerate(self.processes):
            if process.returncode is None:  # still running after another shard failed
                continue
            if process.returncode < 0:
                raise RetryableError(
                    f"{self.task.stage}, shard {shard}: its process was killed by signal {-process.returncode} (often "
                    "out of memory); run again with a lower --parallel"
                )
            if process.returncode:
                log.seek(0)
                text = log.read()[-4000:].decode("utf-8", "replace")
                error_class = BY_EXIT_CODE.get(process.returncode, SkutuneError)
                raise error_class(f"{self.task.stage}, shard {shard}: " + last_error_message(text, process.returncode))

    def progress(self) -> list[Progress]:
        """The last progress report of each shard."""
        reports = []
        for shard in range(len(self.processes)):
            try:
                data = self.store.get(f"{self.task.folder}/progress-a{self.task.attempt}-{shard}.json")
            except NotFoundError:
                continue
            document = json.loads(data)
            reports.append(Progress(**{name: document[name] for name in Progress.__dataclass_fields__}))
        return reports
