"""Streaming responses: watches and followed logs, as iterators over chunks of bytes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from . import tables
from .calls import Call
from .faults import Faults
from .problems import ApiError, Object, invalid
from .selectors import selection
from .store import Store

_BOOKMARK_SECONDS = 10
_LONGEST_SECONDS = 3600.0
_FOLLOW_SECONDS = 0.05


class Watch:
    """The changes of one resource that a selection sees, from a version on."""

    content_type = "application/json"

    def __init__(self, store: Store, faults: Faults, call: Call):
        query = call.query
        self.store, self.faults, self.call, self.resource = store, faults, call, call.resource
        self.selected = selection(call.resource, call.namespace, query.get("labelSelector"), query.get("fieldSelector"))
        self.from_version = query.get("resourceVersion") or "0"
        self.sends_initial = query.get("sendInitialEvents") == "true"
        self.bookmarks = query.get("allowWatchBookmarks") == "true"
        self.end = time.monotonic() + float(query.get("timeoutSeconds") or _LONGEST_SECONDS)
        self.columns_sent = False
        if self.sends_initial and (query.get("resourceVersionMatch") != "NotOlderThan" or not self.bookmarks):
            why = "sendInitialEvents requires resourceVersionMatch=NotOlderThan and allowWatchBookmarks=true"
            cause = {"reason": "FieldValueForbidden", "message": f"Forbidden: {why}", "field": "resourceVersionMatch"}
            raise invalid("ListOptions", "meta.k8s.io", "", [cause])

    def chunks(self, stopping: Callable[[], bool]) -> Iterator[bytes]:
        """Events until the time is over, the server stops, or a test wants an end."""
        position, pending = self._start()
        told = time.monotonic()
        while True:
            for event in pending:
                yield from self._sent(event)
                if event["type"] == "ERROR":
                    return
            if stopping() or time.monotonic() >= self.end:
                return
            ending = self.faults.ending(self.resource.plural)
            if ending == "cut":
                raise ConnectionResetError
            if ending in ("end", "silent"):
                self._say_nothing(stopping, until=self.end if ending == "silent" else 0.0)
                return
            if ending == "expired":
                pending = [_expired(str(position), self.store.version)]
                continue
            position, pending = self._next(position)
            self.faults.wait_while_paused()
            if self.bookmarks and time.monotonic() - told > _BOOKMARK_SECONDS:
                told = time.monotonic()
                pending.append(self._bookmark(position))

    def _start(self) -> tuple[int, list[Object]]:
        with self.store.lock:
            if self.sends_initial or self.from_version == "0":
                found = [found for found in self.store.table(self.resource).values() if self.selected(found)]
                pending = [{"type": "ADDED", "object": found} for found in found]
                if self.sends_initial:
                    pending.append(self._bookmark(self.store.version, {"k8s.io/initial-events-end": "true"}))
                return self.store.version, pending
            position = int(self.from_version)
            too_old = position + 1 < self.store.oldest
            return position, [_expired(self.from_version, self.store.oldest)] if too_old else []

    def _next(self, position: int) -> tuple[int, list[Object]]:
        """Wait for changes after `position`; (the new position, their events)."""
        with self.store.lock:
            if self.store.version <= position:
                self.store.lock.wait(max(0.0, min(self.end - time.monotonic(), 1.0)))
            if position + 1 < self.store.oldest:
                return position, [_expired(str(position), self.store.oldest)]
            log, start = self.store.log, len(self.store.log)
            while start and log[start - 1].version > position:
                start -= 1
            changes = [change for change in log[start:] if change.table == self.resource.table]
            position = max(position, self.store.version)
        pending = []
        for change in changes:
            sees = change.type != "DELETED" and self.selected(change.object)
            saw = change.old is not None and self.selected(change.old)
            if sees or saw:
                kind = "MODIFIED" if sees and saw else "ADDED" if sees else "DELETED"
                pending.append({"type": kind, "object": change.object})
        return position, pending

    def _sent(self, event: Object) -> Iterator[bytes]:
        if event["type"] in ("ADDED", "MODIFIED", "DELETED"):
            copies = self.faults.copies(self.resource.plural)
            shown = self._shown(event["object"])
            yield from [json.dumps({"type": event["type"], "object": shown}).encode() + b"\n"] * copies
        else:
            yield json.dumps(event).encode() + b"\n"

    def _shown(self, found: Object) -> Object:
        if not tables.is_wanted(self.call):
            return tables.typed(self.resource, found)
        table = tables.table(self.call, [found], found["metadata"]["resourceVersion"])
        if self.columns_sent:
            table["columnDefinitions"] = []
        self.columns_sent = True
        return table

    def _bookmark(self, version: int, annotations: Object | None = None) -> Object:
        metadata: Object = {"resourceVersion": str(version), "creationTimestamp": None}
        metadata |= {"annotations": annotations} if annotations else {}
        kind = {"kind": self.resource.kind, "apiVersion": self.resource.api_version}
        return {"type": "BOOKMARK", "object": {**kind, "metadata": metadata}}

    def _say_nothing(self, stopping: Callable[[], bool], until: float) -> None:
        while not stopping() and time.monotonic() < until:
            time.sleep(0.1)


def _expired(version: str, oldest: int) -> Object:
    return {
        "type": "ERROR",
        "object": ApiError(410, "Expired", f"too old resource version: {version} ({oldest})").status(),
    }


@dataclass
class PodLog:
    """A container's log, until the container has ended and all is said."""

    path: Path
    start: int
    runs: Callable[[], bool]
    content_type = "text/plain"

    def chunks(self, stopping: Callable[[], bool]) -> Iterator[bytes]:
        with self.path.open("rb") as log:
            log.seek(self.start)
            while not stopping():
                running = self.runs()
                if data := log.read():
                    yield data
                elif not running:
                    return
                else:
                    time.sleep(_FOLLOW_SECONDS)
