"""What the controller tells people: a JSON line in its log, and an Event on its Job for `kubectl describe`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from skutune.cluster.kube.api import ClusterApi, ConflictError
from skutune.cluster.kube.jobs import ControllerRef
from skutune.errors import InputError, RetryableError

_log = logging.getLogger(__name__)
_LONGEST = 1024
Say = Callable[..., None]
"""`say(event, **fields)` writes one line of the log."""


class EventRecorder:
    """Tells of what happens. A cluster that takes no events costs a line in the log, never the run."""

    def __init__(self, api: ClusterApi, controller: ControllerRef, say: Say) -> None:
        self._api, self._controller, self._say = api, controller, say
        self._lasting: dict[str, tuple[str, float, bool]] = {}

    def tell(self, reason: str, message: str, warning: bool = False, **fields: Any) -> None:
        """Tell of one thing that happened. `reason` is one word in CamelCase."""
        self._say(reason, message=message, **fields)
        try:
            self._api.create("events", self._event(reason, message, warning))
        except (ConflictError, InputError, RetryableError) as error:
            _log.warning("no event: %s", error)

    def tell_of_lasting(self, reason: str, messages: Mapping[str, str], now: float, seconds: float) -> None:
        """Tell of what has lasted for some seconds, each subject's message once until it is another one."""
        for subject in set(self._lasting) - set(messages):
            del self._lasting[subject]
        for subject, message in messages.items():
            words, since, is_told = self._lasting.get(subject, ("", now, False))
            if words != message:
                since, is_told = now, False
            due = not is_told and now - since >= seconds
            self._lasting[subject] = (message, since, is_told or due)
            if due:
                self.tell(reason, f"{subject}: {message}", stage=subject)

    def _event(self, reason: str, message: str, warning: bool) -> dict[str, Any]:
        controller, moment = self._controller, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
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
            "message": message[:_LONGEST],
            "type": "Warning" if warning else "Normal",
            "source": {"component": "skutune-controller"},
            "firstTimestamp": moment,
            "lastTimestamp": moment,
            "count": 1,
        }
