"""Figures for Prometheus, and whether the controller lives, on one small HTTP server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, Counter, Gauge, make_wsgi_app

from skutune.cluster import budget
from skutune.cluster.kube.api import ClusterApi
from skutune.cluster.kube.views import evictions
from skutune.cluster.progress import StageProgress
from skutune.cluster.snapshot import Snapshot
from skutune.errors import InputError

DEAD_SECONDS = 900.0
"""A controller whose loop has stood still for so long is restarted."""


class Metrics:
    """The figures of one run."""

    def __init__(self, release: str, run: str) -> None:
        self.registry = CollectorRegistry()
        labels = {"release": release, "run": run}

        def gauge(name: str, text: str, *more: str) -> Gauge:
            return Gauge(f"skutune_{name}", text, [*labels, *more], registry=self.registry)

        self._labels = labels
        self._state = gauge("stage_state", "1 for the state that a stage is in.", "stage", "state")
        self._attempts = gauge("stage_attempt", "Number of a stage's newest attempt.", "stage")
        self._rows = gauge("stage_rows", "Rows that the running attempt of a stage has made.", "stage")
        self._speed = gauge("stage_tokens_per_second", "Generated tokens per second of a running stage.", "stage")
        self._evicted = gauge("stage_evicted_pods", "Evicted pods of a stage's running attempt.", "stage")
        self._devices = gauge("devices", "Devices that the run may hold.")
        self._in_flight = gauge("devices_in_flight", "Devices that the run holds or may hold at once.")
        self._last = gauge("last_round_timestamp_seconds", "When the controller last looked and decided.")
        self._calls = Counter(
            "skutune_api_requests", "Requests to the API server.", ["request"], registry=self.registry
        )
        self._counted: dict[str, int] = {}
        self._beat = time.monotonic()

    def beat(self) -> None:
        """Tell that the controller lives, also while it waits for a store or an API server that does not answer."""
        self._beat = time.monotonic()

    def note(self, seen: Snapshot, progress: dict[str, StageProgress], api: ClusterApi) -> None:
        """Take over what a round saw."""
        for name, view in seen.stages.items():
            current = "failed" if view.failed else view.state
            for state in ("blocked", "ready", "done", "failed"):
                self._state.labels(**self._labels, stage=name, state=state).set(state == current)
            self._attempts.labels(**self._labels, stage=name).set(view.attempt)
            evicted = evictions(pod for pod in seen.pods if pod.stage == name)
            self._evicted.labels(**self._labels, stage=name).set(evicted)
            shown = progress.get(name) or StageProgress()
            self._rows.labels(**self._labels, stage=name).set(shown.rows)
            self._speed.labels(**self._labels, stage=name).set(shown.tokens_per_second)
        self._devices.labels(**self._labels).set(seen.plan.devices)
        self._in_flight.labels(**self._labels).set(budget.in_flight(seen))
        self._last.labels(**self._labels).set(seen.now)
        for request, count in dict(api.calls).items():
            self._calls.labels(request).inc(count - self._counted.get(request, 0))
            self._counted[request] = count

    def serve(self, port: int) -> int:
        """Serve /metrics and /healthz in the background; returns the port. Raises InputError where it is taken."""
        try:
            server = make_server("", port, self._application(), _Server, _Quiet)
        except OSError as error:
            raise InputError(f"--port {port}: cannot be served: {error.strerror}; choose another one, or 0") from None
        threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
        return int(server.server_address[1])

    def _application(self) -> Callable[..., Iterable[bytes]]:
        figures = make_wsgi_app(self.registry)

        def application(environment: dict[str, object], start: Callable[..., object]) -> Iterable[bytes]:
            if environment.get("PATH_INFO") != "/healthz":
                return figures(environment, start)  # type: ignore[no-any-return]
            lives = time.monotonic() - self._beat < DEAD_SECONDS
            start("200 OK" if lives else "503 Service Unavailable", [("Content-Type", "text/plain")])
            return [b"ok\n" if lives else b"the controller's loop stands still\n"]

        return application


class _Server(ThreadingMixIn, WSGIServer):
    """One slow client must not keep the probe from its answer."""

    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing of each probe."""
