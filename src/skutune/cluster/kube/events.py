"""The controller's events: a JSON line in its log, and a Kubernetes Event on its Job for `kubectl describe`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from skutune.cluster.kube.api import ClusterApi, ConflictError
from skutune.cluster.kube.jobs import ControllerRef
from skutune.errors import InputError, RetryableError

_log = logging.getLogger(__name__)
_MAX_MESSAGE_LENGTH = 1024
LogEvent = Callable[..., None]
"""`log_event(event, **fields)` writes one line to the log."""


class EventRecorder:
    """Records events. If the cluster rejects an Event, a warning is logged and the run continues."""

    def __init__(self, api: ClusterApi, controller: ControllerRef, log_event: LogEvent) -> None:
        self._api, self._controller, self._say = api, controller, log_event
        self._persisting: dict[str, tuple[str, float, bool]] = {}

    def record(self, reason: str, message: str, warning: bool = False, **fields: Any) -> None:
        """Record one event. `reason` is one word in CamelCase."""
        self._say(reason, message=message, **fields)
        try:
            self._api.create("events", self._event(reason, message, warning))
        except (ConflictError, InputError, RetryableError) as error:
            _log.warning("Event not recorded: %s", error)

    def record_persisting(self, reason: str, messages: Mapping[str, str], now: float, seconds: float) -> None:
        """Record each subject's message once it has been the same for `seconds`, and again only after it changed."""
        for subject in set(self._persisting) - set(messages):
            del self._persisting[subject]
        for subject, message in messages.items():
            previous, since, is_recorded = self._persisting.get(subject, ("", now, False))
            if previous != message:
                since, is_recorded = now, False
            due = not is_recorded and now - since >= seconds
            self._persisting[subject] = (message, since, is_recorded or due)
            if due:
                self.record(reason, f"{subject}: {message}", stage=subject)

    def _event(self, reason: str, message: str, warning: bool) -> dict[str, Any]:
        controller, timestamp = self._controller, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{controller.job_name[:50]}-", "namespace": controller.namespace},
            "involvedObject": {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "name": controller.job_name,
                "namespace": controller.namespace,
                "uid": controller.job_uid,
            },
            "reason": reason,
            "message": message[:_MAX_MESSAGE_LENGTH],
            "type": "Warning" if warning else "Normal",
            "source": {"component": "skutune-controller"},
            "firstTimestamp": timestamp,
            "lastTimestamp": timestamp,
            "count": 1,
        }
