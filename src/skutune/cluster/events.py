"""What the controller tells people: a JSON line in its log, and an Event on its Job for `kubectl describe`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from skutune.cluster.api import ClusterApi, ConflictError
from skutune.cluster.jobs import Controller
from skutune.errors import InputError, RetryableError

_log = logging.getLogger(__name__)
_LONGEST = 1024
Say = Callable[..., None]
"""`say(event, **fields)` writes one line of the log."""


class Teller:
    """Tells of what happens. A cluster that takes no events costs a line in the log, never the run."""

    def __init__(self, api: ClusterApi, controller: Controller, say: Say) -> None:
        self._api, self._controller, self._say = api, controller, say
        self._told: dict[str, str] = {}

    def tell(self, reason: str, message: str, warning: bool = False, **fields: Any) -> None:
        """Tell of one thing that happened. `reason` is one word in CamelCase."""
        self._say(reason, message=message, **fields)
        try:
            self._api.create("events", self._event(reason, message, warning))
        except (ConflictError, InputError, RetryableError) as error:
            _log.warning("no event: %s", error)

    def tell_once(self, subject: str, reason: str, message: str, **fields: Any) -> None:
        """Tell of what lasts, again only when it is told in other words."""
        if self._told.get(subject) != message:
            self._told[subject] = message
            self.tell(reason, message, **fields)

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
