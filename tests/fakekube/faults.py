"""Trouble ordered by tests: refused and cut requests, watches that end, doubled and late events, a pause."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from .problems import ApiError

Ending = Literal["end", "cut", "expired", "silent"]
_REASONS = {
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    410: "Expired",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


@dataclass
class _Order:
    """One piece of trouble: for which requests, how often, and which kind."""

    verb: str | None
    resource: str | None
    name: str | None
    times: int
    user: str = ""
    error: ApiError | None = None
    cut: Literal["before", "after"] | None = None
    ending: Ending | None = None
    copies: int = 1
    delay_seconds: float = 0.0

    def fits(self, verb: str, resource: str, name: str | None, user: str) -> bool:
        wanted, found = (self.verb, self.resource, self.name), (verb, resource, name)
        same = all(one in (None, other) for one, other in zip(wanted, found, strict=True))
        return same and user.endswith(self.user)


@dataclass
class Faults:
    """What tests order and the server asks for. `wake` makes waiting watches look."""

    wake: threading.Condition
    served: int = 0  # pieces of trouble made so far
    _orders: list[_Order] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _running: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._running.set()

    # ---- ordered by tests
    def answer(
        self,
        code: int,
        *,
        verb: str | None = None,
        resource: str | None = None,
        name: str | None = None,
        user: str = "",
        times: int = 1,
        retry_after_seconds: int | None = None,
        message: str | None = None,
    ) -> None:
        """The next `times` requests that fit get this status code; nothing is done for them.

        Verbs are the API's: get, list, watch, create, update, patch, delete, deletecollection. None fits all. `user`
        is the end of a user's name: `:shop:fall-skutune` for a ServiceAccount, `admin` for the administrator.
        """
        told = message or f"trouble that a test ordered ({code})"
        error = ApiError(code, _REASONS.get(code, "Unknown"), told, retry_after_seconds)
        self._add(_Order(verb, resource, name, times, user, error=error))

    def cut(
        self,
        *,
        verb: str | None = None,
        resource: str | None = None,
        name: str | None = None,
        user: str = "",
        times: int = 1,
        when: Literal["before", "after"] = "after",
    ) -> None:
        """The connection of the next requests breaks: before anything is done, or after it, amid the answer."""
        self._add(_Order(verb, resource, name, times, user, cut=when))

    def end_watches(self, how: Ending = "end", *, resource: str | None = None, times: int = 1) -> None:
        """`times` watches, open or still to come, end: properly, cut, with a 410 event, or by never saying more."""
        self._add(_Order("watch", resource, None, times, ending=how))

    def disturb_events(
        self, *, resource: str | None = None, copies: int = 1, delay_seconds: float = 0.0, times: int = 1
    ) -> None:
        """The next `times` watch events come more than once, or late."""
        self._add(_Order("event", resource, None, times, copies=copies, delay_seconds=delay_seconds))

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Nothing is answered and no event is sent meanwhile; requests wait, as for an API server that hangs."""
        self._running.clear()
        try:
            yield
        finally:
            self._running.set()

    def clear(self) -> None:
        """Forget all orders that have not been served."""
        with self._lock:
            self._orders.clear()

    def _add(self, order: _Order) -> None:
        with self._lock:
            self._orders.append(order)
        with self.wake:
            self.wake.notify_all()

    # ---- asked by the server
    def wait_while_paused(self) -> None:
        self._running.wait()

    def meet(self, verb: str, resource: str, name: str | None, user: str) -> bool:
        """Raise what was ordered for a request; True: its answer is to be cut. ConnectionResetError: cut it now."""
        order = self._take(lambda order: bool(order.error or order.cut), verb, resource, name, user)
        if order is None:
            return False
        if order.error is not None:
            error = order.error
            raise ApiError(error.code, error.reason, error.message, error.retry_after_seconds)
        if order.cut == "before":
            raise ConnectionResetError
        return True

    def ending(self, resource: str) -> Ending | None:
        """How a watch shall end now, if it shall."""
        order = self._take(lambda order: order.ending is not None, "watch", resource)
        return order.ending if order else None

    def copies(self, resource: str) -> int:
        """How often to send the next event; waits where it is to be late."""
        order = self._take(lambda order: order.ending is None, "event", resource)
        if order is None:
            return 1
        time.sleep(order.delay_seconds)
        return order.copies

    def _take(
        self, kind: Callable[[_Order], bool], verb: str, resource: str, name: str | None = None, user: str = ""
    ) -> _Order | None:
        if not self._orders:
            return None
        with self._lock:
            fitting = (order for order in self._orders if kind(order) and order.fits(verb, resource, name, user))
            if (found := next(fitting, None)) is None:
                return None
            found.times -= 1
            self.served += 1
            self._orders = [order for order in self._orders if order.times > 0]
            return found
