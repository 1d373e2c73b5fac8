"""Prometheus metrics and the liveness probe of the controller, on one HTTP server."""

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

LIVENESS_SECONDS = 900.0
"""The liveness probe fails when the loop has made no progress for this long."""


class Metrics:
    """The metrics of one run."""

    def __init__(self, release: str, run: str) -> None:
        self.registry = CollectorRegistry()
        labels = {"release": release, "run": run}

        def gauge(name: str, text: str, *extra_labels: str) -> Gauge:
            return Gauge(f"skutune_{name}", text, [*labels, *extra_labels], registry=self.registry)

        self._labels = labels
        self._state = gauge("stage_state", "1 for the stage's current state, else 0.", "stage", "state")
        self._attempts = gauge("stage_attempt", "Number of the stage's latest attempt.", "stage")
        self._rows = gauge("stage_rows", "Rows written by the stage's running attempt.", "stage")
        self._speed = gauge("stage_tokens_per_second", "Tokens per second that the running stage generates.", "stage")
        self._evicted_pods = gauge("stage_evicted_pods", "Evicted pods of the stage's running attempt.", "stage")
        self._devices = gauge("devices", "Device budget of the run.")
        self._in_flight = gauge("devices_in_flight", "Devices that the run holds or has claimed.")
        self._last_round = gauge("last_round_timestamp_seconds", "Time of the controller's last reconciliation.")
        self._calls = Counter(
            "skutune_api_requests", "Requests to the API server.", ["request"], registry=self.registry
        )
        self._counted_requests: dict[str, int] = {}
        self._last_heartbeat = time.monotonic()

    def heartbeat(self) -> None:
        """Report that the loop is alive. Also called while it retries an unavailable store or API server."""
        self._last_heartbeat = time.monotonic()

    def update(self, snapshot: Snapshot, progress: dict[str, StageProgress], api: ClusterApi) -> None:
        """Set the metrics from one round's snapshot."""
        for name, view in snapshot.stages.items():
            current_state = "failed" if view.failed else view.state
            for state in ("blocked", "ready", "done", "failed"):
                self._state.labels(**self._labels, stage=name, state=state).set(state == current_state)
            self._attempts.labels(**self._labels, stage=name).set(view.attempt)
            evicted = evictions(pod for pod in snapshot.pods if pod.stage == name)
            self._evicted_pods.labels(**self._labels, stage=name).set(evicted)
            stage_progress = progress.get(name) or StageProgress()
            self._rows.labels(**self._labels, stage=name).set(stage_progress.rows)
            self._speed.labels(**self._labels, stage=name).set(stage_progress.tokens_per_second)
        self._devices.labels(**self._labels).set(snapshot.plan.devices)
        self._in_flight.labels(**self._labels).set(budget.in_flight(snapshot))
        self._last_round.labels(**self._labels).set(snapshot.now)
        for request, count in dict(api.calls).items():
            self._calls.labels(request).inc(count - self._counted_requests.get(request, 0))
            self._counted_requests[request] = count

    def serve(self, port: int) -> int:
        """Serve /metrics and /healthz in the background. Returns the port. Raises InputError if it cannot be bound."""
        try:
            server = make_server("", port, self._application(), _ThreadingServer, _SilentHandler)
        except OSError as error:
            raise InputError(
                f"--port {port}: cannot listen: {error.strerror}; choose another port, or 0 for none"
            ) from None
        threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
        return int(server.server_address[1])

    def _application(self) -> Callable[..., Iterable[bytes]]:
        metrics_app = make_wsgi_app(self.registry)

        def application(environment: dict[str, object], start: Callable[..., object]) -> Iterable[bytes]:
            if environment.get("PATH_INFO") != "/healthz":
                return metrics_app(environment, start)  # type: ignore[no-any-return]
            is_alive = time.monotonic() - self._last_heartbeat < LIVENESS_SECONDS
            start("200 OK" if is_alive else "503 Service Unavailable", [("Content-Type", "text/plain")])
            return [b"ok\n" if is_alive else b"the controller's loop makes no progress\n"]

        return application


class _ThreadingServer(ThreadingMixIn, WSGIServer):
    """One thread per request, so that a slow client does not block the probe."""

    daemon_threads = True


class _SilentHandler(WSGIRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        """Do not log requests."""
