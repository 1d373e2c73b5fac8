"""Watches, used only as triggers to list again.

A watch may end silently, repeat or delay events, or report that its resource version has expired. Each of these costs
only a list, because decisions are based on lists alone.
"""

from __future__ import annotations

import logging
import random
import threading

from skutune.cluster.kube.api import ClusterApi, ExpiredError
from skutune.errors import InputError, RetryableError

_log = logging.getLogger(__name__)


class Watch(threading.Thread):
    """Watches one resource in the background and sets `changed` when it should be listed again.

    `begin(version)` sets the resource version to start from. After a watch has ended, the next one waits for `begin`.
    """

    def __init__(
        self, api: ClusterApi, plural: str, labels: str, fields: str, changed: threading.Event, seconds: int = 300
    ) -> None:
        super().__init__(name=f"watch {plural}", daemon=True)
        self._api, self._plural, self._labels, self._fields = api, plural, labels, fields
        self._changed, self._seconds = changed, seconds
        self._listed = threading.Event()
        self._version = ""

    def begin(self, version: str) -> None:
        """Set the resource version of the latest list, from which the next watch starts."""
        self._version = version
        self._listed.set()

    def run(self) -> None:
        """Watch until the process ends."""
        failures = 0
        while True:
            self._listed.wait()
            self._listed.clear()
            failures = 0 if self._follow() else failures + 1
            self._changed.set()  # events may have been missed: list again and resume from there
            threading.Event().wait(random.uniform(0.5, 1.0) * min(30.0, 0.5 * 2**failures))

    def _follow(self) -> bool:
        """Run one watch to its end. Returns False if it failed."""
        # Jitter, so that the controllers of a cluster do not all reconnect at the same time.
        seconds = round(self._seconds * random.uniform(0.8, 1.2))
        try:
            changes = self._api.watch(self._plural, self._version, self._labels, self._fields, seconds)
            for change in changes:
                if change["type"] != "BOOKMARK":
                    self._changed.set()
        except ExpiredError:
            return True
        except (RetryableError, InputError, ValueError) as error:
            _log.warning("the watch of %s ended: %s", self._plural, error)
            return False
        return True
