"""A lease that prevents two runners from working on one run by mistake: an object that names the holder.

Stores have no conditional put, so a lease is not a lock: it prevents accidental double starts, and tells a run that
another one has taken over. Correctness does not depend on it: if two workers write the same part, there are two
objects, and a manifest lists one of them.

The holder renews its heartbeat; a lease expires when the heartbeat is older than the TTL, which assumes that clocks
agree to within the TTL. A killed run does not have to wait for that on its own machine: if its process has ended, the
lease is taken over at once.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

from skutune.errors import InputError, RetryableError
from skutune.store.base import NotFoundError, ObjectStore
from skutune.store.process_identity import has_ended, pid_namespace

_log = logging.getLogger(__name__)
_RENEWALS_PER_TTL = 4
"""Three consecutive renewals may fail before the lease expires."""
_MAX_WRITES = 5


@dataclass(frozen=True, slots=True)
class Holder:
    """The holder of a lease, as stored. Times are UTC in ISO 8601; `pid` is valid within `pid_namespace`."""

    token: str
    owner: str | None
    host: str
    pid_namespace: str
    pid: int
    since: str
    heartbeat: str

    def __str__(self) -> str:
        owner = f"{self.owner}, " if self.owner else ""
        return f"{owner}process {self.pid} on {self.host}, since {self.since}"

    def is_alive(self, ttl_seconds: float) -> bool:
        """Whether the holder may still be running."""
        if self.pid_namespace == pid_namespace() and has_ended(self.pid):
            return False
        return _age_seconds(self.heartbeat) <= ttl_seconds


class Lease:
    """A lease that is held; created by `hold`."""

    def __init__(self, store: ObjectStore, key: str, holder: Holder, ttl_seconds: float) -> None:
        self.holder = holder
        self._store, self._key, self._ttl_seconds = store, key, ttl_seconds
        self._new_holder: Holder | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew_until_stopped, name="lease", daemon=True)

    @property
    def lost(self) -> bool:
        """Whether another run has taken over, as of the last renewal."""
        return self._new_holder is not None

    def is_ours(self) -> bool:
        """Whether this is still the holder, according to the store. Raises RetryableError, InputError as the store."""
        holder = _read(self._store, self._key)
        return holder is None or holder.token == self.holder.token

    def check(self) -> None:
        """Raise InputError if the lease is lost, as of the last renewal. Does not access the store."""
        if self._new_holder is not None:
            raise InputError(
                f"{self._store.uri}/{self._key}: another run has taken over: {self._new_holder}; this one stops, and "
                "its completed work is kept. Let one of them finish"
            )

    def _acquire(self, settle_seconds: float, preempt_same_owner: bool) -> None:
        holder = _read(self._store, self._key)
        same_owner = holder is not None and holder.owner is not None and holder.owner == self.holder.owner
        if holder is not None and holder.is_alive(self._ttl_seconds) and not (preempt_same_owner and same_owner):
            raise self._held_error(holder)
        if holder is not None:
            _log.warning("taking over the lease %s/%s from: %s", self._store.uri, self._key, holder)
        for _ in range(_MAX_WRITES):
            self._write()
            # Of several runs that start at once, only the last writer finds its own token after the delay.
            self._stop.wait(settle_seconds)
            holder = _read(self._store, self._key)
            if holder is None or holder.token == self.holder.token:
                break
            if not preempt_same_owner or holder.owner != self.holder.owner:
                raise self._held_error(holder)
            # The previous holder renewed between its read and its write, and overwrote us. Its next read detects us.
        else:
            raise self._held_error(holder or self.holder)
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
            # The outcome of the run matters more; the next run detects that this process has ended.
            _log.warning("the lease could not be released and will expire: %s", error)

    def _renew_until_stopped(self) -> None:
        while not self.lost and not self._stop.wait(self._ttl_seconds / _RENEWALS_PER_TTL):
            try:
                self._renew()
            except (InputError, RetryableError) as error:
                # The next write of the run will hit the same fault and raise it.
                _log.warning("the lease could not be renewed: %s", error)

    def _renew(self) -> None:
        holder = _read(self._store, self._key)
        if holder is not None and holder.token != self.holder.token:
            self._new_holder = holder
        else:
            self._write()

    def _write(self) -> None:
        document = asdict(replace(self.holder, heartbeat=_now()))
        self._store.put(self._key, json.dumps(document, indent=1).encode())

    def _held_error(self, holder: Holder) -> InputError:
        return InputError(
            f"{self._store.uri}/{self._key}: this run is in progress: {holder}; wait for it, stop it, or use another "
            f"run name. If it is dead, its lease expires {self._ttl_seconds:g} s after its last heartbeat "
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
    preempt_same_owner: bool = False,
) -> Iterator[Lease]:
    """Hold the lease at `key` for the duration of the block, and release it when the block exits.

    Args:
        store: the store that contains the lease.
        key: one per resource.
        owner: a name shown with host and process ID, such as that of a Helm release.
        ttl_seconds: the lease expires when the heartbeat is older; must be the same for all holders.
        settle_seconds: how long to wait for concurrent starts to become visible; longer than a put takes.
        preempt_same_owner: take over from a holder with the same owner even if it is alive, because something else
            (such as a cluster) ensures that an owner has one runner at a time.

    Raises:
        InputError: another run holds it.
        RetryableError: the store failed.
    """
    now = _now()
    holder = Holder(uuid.uuid4().hex, owner, socket.gethostname(), pid_namespace(), os.getpid(), now, now)
    lease = Lease(store, key, holder, ttl_seconds)
    try:
        lease._acquire(settle_seconds, preempt_same_owner)
        yield lease
    finally:
        lease._release()


def is_held(store: ObjectStore, key: str, *, ttl_seconds: float = 60) -> bool:
    """Whether the lease at `key` is held and has not expired."""
    holder = _read(store, key)
    return holder is not None and holder.is_alive(ttl_seconds)


def _read(store: ObjectStore, key: str) -> Holder | None:
    try:
        data = store.get(key)
    except NotFoundError:
        return None
    try:
        holder = Holder(**json.loads(data))
        _age_seconds(holder.heartbeat)
    except (ValueError, TypeError, KeyError):
        raise InputError(
            f"{store.uri}/{key}: not a lease of this version of skutune; delete it if this run is not in progress"
        ) from None
    return holder


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _age_seconds(time: str) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(time)).total_seconds()
