"""A guard against two runs on one place: an object that says who is at work there, renewed while it lasts.

Stores have no conditional put, so a lease cannot be a lock: it keeps people from starting a run twice by mistake, and
tells a run that another has taken over. No correctness rests on it: two workers on one part leave two objects, and a
manifest names one.

A holder that was killed leaves its lease behind. On the same machine its process is seen to be gone, and a new run
takes over at once. From elsewhere only the clock tells: a heartbeat older than the time to live ends the lease, which
supposes that clocks agree to within that time.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from skutune.errors import InputError, RetryableError
from skutune.store.base import NotFoundError, ObjectStore
from skutune.store.process_identity import Process, current_process, is_running

_log = logging.getLogger(__name__)
_HEARTBEATS = 4
"""Renewals in a time to live: three may fail before another takes over."""
_RENEWED_BETWEEN = 5


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lease, as it is stored. Times are UTC in ISO 8601."""

    token: str
    owner: str | None
    host: str
    process: Process
    since: str
    heartbeat: str

    def __str__(self) -> str:
        owner = f"{self.owner}, " if self.owner else ""
        return f"{owner}process {self.process.pid} on {self.host}, since {self.since}"

    def is_alive(self, ttl_seconds: float) -> bool:
        """Whether its run may still be going on."""
        if self.host == socket.gethostname() and self.process.is_local():
            running = is_running(self.process)
            if running is not None:
                return running
        return _age_seconds(self.heartbeat) <= ttl_seconds


class Lease:
    """A held lease. Made by `hold`."""

    def __init__(self, store: ObjectStore, key: str, holder: Holder, ttl_seconds: float) -> None:
        self.holder = holder
        self._store, self._key, self._ttl_seconds = store, key, ttl_seconds
        self._taken_by: Holder | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew_until_stopped, name="lease", daemon=True)

    @property
    def lost(self) -> bool:
        """Whether another run was seen to have taken over."""
        return self._taken_by is not None

    def is_ours(self) -> bool:
        """Whether nobody has taken over by now, asked of the store. Raises RetryableError, InputError as a store."""
        holder = _read(self._store, self._key)
        return holder is None or holder.token == self.holder.token

    def check(self) -> None:
        """Raise InputError where the lease is lost. Cheap: asks memory, not the store."""
        if self._taken_by is not None:
            raise InputError(
                f"{self._store.uri}/{self._key}: another run has taken over: {self._taken_by}; this one stops, and "
                "what it has written stays. Let one of them finish"
            )

    def _acquire(self, settle_seconds: float, succeed: bool) -> None:
        holder = _read(self._store, self._key)
        same_owner = holder is not None and holder.owner is not None and holder.owner == self.holder.owner
        if holder is not None and holder.is_alive(self._ttl_seconds) and not (succeed and same_owner):
            raise self._held(holder)
        if holder is not None:
            _log.warning("taking over %s/%s from a run that is gone: %s", self._store.uri, self._key, holder)
        for _ in range(_RENEWED_BETWEEN):
            self._write()
            # Of two that saw no holder, the one that wrote last finds its own token after a moment; the other does not.
            self._stop.wait(settle_seconds)
            holder = _read(self._store, self._key)
            if holder is None or holder.token == self.holder.token:
                break
            if not succeed or holder.owner != self.holder.owner:
                raise self._held(holder)
            # The one before us renewed it between its reading and its writing: it sees us at its next look.
        else:
            raise self._held(holder or self.holder)
        self._thread.start()

    def _release(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        if self.lost:
            return
        try:
            holder = _read(self._store, self._key)
            if holder is not None and holder.token == self.holder.token:
                self._store.delete(self._key)
        except (InputError, RetryableError) as error:
            # The run's own end, good or bad, matters more; the next run sees that this process is gone.
            _log.warning("the lease could not be released and will end by itself: %s", error)

    def _renew_until_stopped(self) -> None:
        while not self.lost and not self._stop.wait(self._ttl_seconds / _HEARTBEATS):
            try:
                self._renew()
            except (InputError, RetryableError) as error:
                # The run meets the same fault at its next write, and there it is the right error to end with.
                _log.warning("the lease could not be renewed: %s", error)

    def _renew(self) -> None:
        holder = _read(self._store, self._key)
        if holder is not None and holder.token != self.holder.token:
            self._taken_by = holder
        else:
            self._write()

    def _write(self) -> None:
        document = asdict(replace(self.holder, heartbeat=_now()))
        self._store.put(self._key, json.dumps(document, indent=1).encode())

    def _held(self, holder: Holder) -> InputError:
        return InputError(
            f"{self._store.uri}/{self._key}: a run is at work there: {holder}; wait for it, stop it, or choose another "
            f"run name. If it is surely dead, it is taken over {self._ttl_seconds:g} s after its last sign of life "
            f"({holder.heartbeat})"
        )


@contextmanager
def hold(
    store: ObjectStore,
    key: str,
    *,
    owner: str | None = None,
    ttl_seconds: float = 60,
    settle_seconds: float = 0.5,
    succeed: bool = False,
) -> Iterator[Lease]:
    """Hold the lease at `key` while the block lasts, and give it back however the block ends.

    Args:
        store: where the lease lies.
        key: one for each thing that only one run may work at.
        owner: shown to others beside host and process, such as a release's name.
        ttl_seconds: a holder on another machine that was silent for longer counts as dead; the same for all holders.
        settle_seconds: how long to wait for a simultaneous start to show; above the time of a put.
        succeed: take over from a holder of the same owner at once, alive or not: where something else (a cluster) sees
            to it that an owner has one runner at a time.

    Raises:
        InputError: another holds it.
        RetryableError: the store failed.
    """
    now = _now()
    holder = Holder(uuid.uuid4().hex, owner, socket.gethostname(), current_process(), now, now)
    lease = Lease(store, key, holder, ttl_seconds)
    try:
        lease._acquire(settle_seconds, succeed)
        yield lease
    finally:
        lease._release()


def is_held(store: ObjectStore, key: str, *, ttl_seconds: float = 60) -> bool:
    """Whether somebody who seems alive holds the lease at `key`."""
    holder = _read(store, key)
    return holder is not None and holder.is_alive(ttl_seconds)


def _read(store: ObjectStore, key: str) -> Holder | None:
    try:
        data = store.get(key)
    except NotFoundError:
        return None
    try:
        return _parse(json.loads(data))
    except (ValueError, TypeError, KeyError):
        raise InputError(
            f"{store.uri}/{key}: is not a lease that this release can read; delete it if no run is at work there"
        ) from None


def _parse(document: dict[str, Any]) -> Holder:
    holder = Holder(**{**document, "process": Process(**document["process"])})
    _age_seconds(holder.heartbeat)
    return holder


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _age_seconds(time: str) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(time)).total_seconds()
