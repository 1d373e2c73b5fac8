"""The part of the Kubernetes API that the controller uses; the only module that imports the Kubernetes client.

Requests and responses are plain JSON. The client's models would reject fields of a newer API server, and a view keeps
only the fields that decisions need. The client still loads the cluster's address, certificates and token, and renews
the token.
"""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import urllib3
from kubernetes import client, config

from skutune.errors import InputError, RetryableError, SkutuneError

_log = logging.getLogger(__name__)
View = TypeVar("View")
_PAGE_SIZE = 50  # a page is held in memory with all its fields
_CONNECT_SECONDS, _READ_SECONDS = 5.0, 30.0
_MAX_ATTEMPTS = 6
_RETRYABLE_STATUSES = {429, 500, 502, 503, 504}
_OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_PATCH_TYPES = {"json": "application/json-patch+json", "merge": "application/merge-patch+json"}


class ConflictError(SkutuneError):
    """An object of this name already exists, or was changed in the meantime."""


class ExpiredError(SkutuneError):
    """The requested resource version has expired: list again."""


class RejectedError(InputError):
    """The API server rejected a request. `status` is the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ClusterApi:
    """A client for one namespace of a cluster.

    Every method raises RetryableError if the API server does not respond after several retries, and RejectedError if
    it rejects the request.
    """

    def __init__(self, namespace: str | None = None, stop: threading.Event | None = None) -> None:
        try:
            settings, own_namespace = _settings()
        except config.ConfigException as error:
            raise InputError(
                f"no cluster configured: {error}; run inside a pod, or set KUBECONFIG to a kubeconfig file"
            ) from None
        self._settings = settings
        self._client = client.ApiClient(settings)
        self._stop = stop or threading.Event()
        self.namespace = namespace or own_namespace
        self.calls: Counter[str] = Counter()

    def list_objects(
        self, plural: str, view: Callable[[dict[str, Any]], View], labels: str = "", fields: str = ""
    ) -> tuple[list[View], str]:
        """The `view` of every matching object, and the resource version to start a watch from."""
        while True:
            try:
                return self._list(plural, view, labels, fields)
            except ExpiredError:
                self._pause(1, None)  # the continue token expired; the list starts over

    def get(self, plural: str, name: str) -> dict[str, Any] | None:
        """An object, or None if it does not exist."""
        return self._send("GET", plural, name)

    def create(self, plural: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Create an object. Raises ConflictError if its name is taken."""
        return self._send("POST", plural, body=body, query={"fieldManager": "skutune"}) or {}

    def patch(self, plural: str, name: str, body: Any, kind: str = "merge") -> dict[str, Any] | None:
        """Patch an object. Returns None if it does not exist."""
        return self._send("PATCH", plural, name, body, {"fieldManager": "skutune"}, _PATCH_TYPES[kind])

    def delete(self, plural: str, name: str, uid: str | None = None, grace_seconds: int | None = None) -> None:
        """Delete an object and its dependents. Does nothing if it does not exist or its uid is not `uid`."""
        body: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if uid is not None:
            body["preconditions"] = {"uid": uid}
        if grace_seconds is not None:
            body["gracePeriodSeconds"] = grace_seconds
        try:
            self._send("DELETE", plural, name, body)
        except ConflictError:
            _log.info("%s %s was replaced by another object and is not deleted", plural, name)

    def watch(self, plural: str, version: str, labels: str, fields: str, seconds: int) -> Iterator[dict[str, Any]]:
        """Changes since a resource version, until the server or the network ends the stream.

        Raises ExpiredError if the version is too old.
        """
        query = {"watch": "true", "resourceVersion": version, "timeoutSeconds": str(seconds)}
        query |= _selectors(labels, fields) | {"allowWatchBookmarks": "true"}
        try:
            response = self._request(
                "GET", self._path(plural), query, None, "application/json", seconds + _READ_SECONDS
            )
            with closing(response):
                if response.status >= 400:
                    raise _error_for(response.status, response.read(), f"watch {plural}")
                yield from _changes(response)
        except urllib3.exceptions.HTTPError as error:
            raise RetryableError(f"the watch of {plural} was interrupted: {error}") from error

    def _list(
        self, plural: str, view: Callable[[dict[str, Any]], View], labels: str, fields: str
    ) -> tuple[list[View], str]:
        items: list[View] = []
        query = _selectors(labels, fields) | {"limit": str(_PAGE_SIZE)}
        while True:
            page = self._send("GET", plural, query=query) or {}
            items += map(view, page.get("items") or [])
            following = page["metadata"].get("continue")
            if not following:
                return items, str(page["metadata"].get("resourceVersion", ""))
            query["continue"] = following

    def _send(
        self,
        method: str,
        plural: str,
        name: str = "",
        body: Any = None,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> dict[str, Any] | None:
        """Send one request, with retries while the server is unavailable or throttles. None: not found."""
        what = f"{method} {plural} {name}".strip()
        for attempt in range(1, _MAX_ATTEMPTS + 1):
            try:
                response = self._request(method, self._path(plural, name), query or {}, body, content_type)
                data = response.read()
                response.release_conn()
            except urllib3.exceptions.HTTPError as error:
                failure: SkutuneError = RetryableError(f"the API server does not respond ({what}): {error}")
            else:
                if response.status < 300:
                    return dict(json.loads(data))
                if response.status == 404 and name:
                    return None
                failure = _error_for(response.status, data, what)
                # Our patches carry no resource version, so that a conflict can simply be retried.
                if response.status not in _RETRYABLE_STATUSES and not (response.status == 409 and method == "PATCH"):
                    raise failure
                self._pause(attempt, response.headers.get("Retry-After"))
                continue
            self._pause(attempt, None)
        raise RetryableError(str(failure)) from failure

    def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Any,
        content_type: str,
        read_seconds: float = _READ_SECONDS,
    ) -> urllib3.BaseHTTPResponse:
        self.calls[f"{method} {path.rpartition('/namespaces/')[2].split('/')[1]}"] += 1
        url = f"{self._settings.host}{path}" + (f"?{urlencode(query)}" if query else "")
        headers = {"Accept": "application/json", "Content-Type": content_type, "User-Agent": "skutune-controller"}
        for setting in self._settings.auth_settings().values():  # renews a token that is about to expire
            if setting["in"] == "header" and setting["value"]:
                headers[setting["key"]] = setting["value"]
        response: urllib3.BaseHTTPResponse = self._client.rest_client.pool_manager.request(
            method,
            url,
            body=None if body is None else json.dumps(body),
            headers=headers,
            timeout=urllib3.Timeout(connect=_CONNECT_SECONDS, read=read_seconds),
            preload_content=False,
            retries=False,
        )
        return response

    def _path(self, plural: str, name: str = "") -> str:
        group = "/apis/batch/v1" if plural == "jobs" else "/api/v1"
        return f"{group}/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "")

    def _pause(self, attempt: int, retry_after: str | None) -> None:
        wait = min(30.0, 0.25 * 2**attempt) * random.uniform(0.5, 1.0)
        if retry_after and retry_after.isdecimal():
            wait = max(wait, min(60.0, float(retry_after)))
        self._stop.wait(wait)


def _settings() -> tuple[client.Configuration, str]:
    """The client configuration and the namespace, from the pod's service account or the kubeconfig."""
    settings = client.Configuration()
    try:
        config.load_incluster_config(client_configuration=settings)
        return settings, _OWN_NAMESPACE.read_text().strip()
    except config.ConfigException:
        config.load_kube_config(client_configuration=settings)
        _, context = config.list_kube_config_contexts()
        return settings, context["context"].get("namespace") or "default"


def _selectors(labels: str, fields: str) -> dict[str, str]:
    selectors = {"labelSelector": labels, "fieldSelector": fields}
    return {name: value for name, value in selectors.items() if value}


def _changes(response: urllib3.BaseHTTPResponse) -> Iterator[dict[str, Any]]:
    """The events of a watch. An incomplete last line of an interrupted stream is dropped."""
    rest = b""
    for block in response.stream(65536, decode_content=True):
        *lines, rest = (rest + block).split(b"\n")
        for line in filter(None, lines):
            change: dict[str, Any] = json.loads(line)
            if change["type"] == "ERROR":
                code = change["object"].get("code", 500)
                raise _error_for(code, json.dumps(change["object"]).encode(), "watch")
            yield change


def _error_for(status: int, data: bytes, what: str) -> SkutuneError:
    try:
        document = json.loads(data)
        message, reason = str(document.get("message", "")), str(document.get("reason", ""))
    except (ValueError, AttributeError):
        message, reason = data[:300].decode("utf-8", "replace"), ""
    text = f"the API server rejected {what}: {message or f'status {status}'}"
    if status == 410:
        return ExpiredError(text)
    if status == 409 and reason in {"AlreadyExists", "Conflict", ""}:
        return ConflictError(text)
    if status in _RETRYABLE_STATUSES or status == 409:
        return RetryableError(text)
    return RejectedError(status, text)


def now() -> float:
    """Seconds since the epoch."""
    return time.time()
