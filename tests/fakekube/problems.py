"""API errors: a Status object with a code and a reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Object = dict[str, Any]  # any Kubernetes object, as JSON has it


class ApiError(Exception):
    """A refused request. `details` goes into the Status as it is; `retry_after_seconds` becomes a header."""

    def __init__(self, code: int, reason: str, message: str, retry_after_seconds: int | None = None, **details: Any):
        super().__init__(message)
        self.code, self.reason, self.message, self.details = code, reason, message, details
        self.retry_after_seconds = retry_after_seconds

    def status(self) -> Object:
        """The Status object that is the answer's body."""
        status: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        status |= {"message": self.message, "reason": self.reason, "code": self.code}
        if self.retry_after_seconds is not None:
            self.details["retryAfterSeconds"] = self.retry_after_seconds
        return status | ({"details": self.details} if self.details else {})


def bad_request(message: str) -> ApiError:
    return ApiError(400, "BadRequest", message)


def unsupported(message: str) -> ApiError:
    return ApiError(415, "UnsupportedMediaType", f"the body of the request was in an unknown format - {message}")


def nowhere() -> ApiError:
    return ApiError(404, "NotFound", "the server could not find the requested resource")


def forbidden(full_name: str, name: str, why: str) -> ApiError:
    return ApiError(403, "Forbidden", f'{full_name} "{name}" is forbidden: {why}', name=name, kind=full_name)


def invalid(kind: str, group: str, name: str, causes: Sequence[Object]) -> ApiError:
    """`causes` are {reason, message, field}, one a wrong field."""
    whole = f"{kind}.{group}" if group else kind
    told = ", ".join(f"{cause['field']}: {cause['message']}" for cause in causes)
    listed = f"[{told}]" if len(causes) > 1 else told
    details: Object = {"name": name, "kind": kind, "causes": list(causes)} | ({"group": group} if group else {})
    return ApiError(422, "Invalid", f'{whole} "{name}" is invalid: {listed}', **details)
