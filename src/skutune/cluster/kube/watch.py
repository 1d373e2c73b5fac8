"""Watches as hints: they say that something changed, never what is true.

A watch can end silently, repeat itself, come late or tell that its version is too old. All of these cost only a list,
because decisions are made from lists alone.
"""

from __future__ import annotations

import logging
import random
import threading

from skutune.cluster.kube.api import ClusterApi, ExpiredError
from skutune.errors import InputError, RetryableError

_log = logging.getLogger(__name__)


class Watch(threading.Thread):
    """Watches one kind of objects in the background, and sets `changed` whenever it is worth listing again.

    `begin(version)` tells from which list's version to go on; without a newer one nothing is watched twice.
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
        """Tell the version of the newest list; used when a watch begins."""
        self._version = version
        self._listed.set()

    def run(self) -> None:
        """Watch for ever; a daemon thread ends with the program."""
        failures = 0
        while True:
            self._listed.wait()
            self._listed.clear()
            failures = 0 if self._follow() else failures + 1
            self._changed.set()  # something may have been missed: list again, and go on from there
            threading.Event().wait(random.uniform(0.5, 1.0) * min(30.0, 0.5 * 2**failures))

    def _follow(self) -> bool:
        """One watch, to its end. True where it ended as watches do."""
        # Not all controllers of a cluster should come back at the same moment.
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
