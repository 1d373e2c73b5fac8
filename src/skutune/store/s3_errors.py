"""Translation of S3 server and client errors into errors that say who must act.

Servers agree on error codes and HTTP statuses far more than on messages, so messages are shown but never matched. The
client has already retried transient errors with backoff.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    MetadataRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    ResponseStreamingError,
)
from s3transfer.exceptions import RetriesExceededError, S3DownloadFailedError

from skutune.errors import InputError, RetryableError, SkutuneError
from skutune.store.s3_settings import CHECKSUM, ENCRYPTION, REQUEST_PAYER

BROKEN_BODIES = (HTTPClientError, IncompleteReadError, ResponseStreamingError)
"""Raised when a response body ends early."""

_BAD_CREDENTIALS = {
    "AuthorizationHeaderMalformed",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidSecurity",
    "InvalidToken",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
}
_FORBIDDEN = {"401", "403", "AccessDenied", "AllAccessDisabled", "AccountProblem", "Forbidden", "Unauthorized"}
_TRANSIENT = {
    "BadDigest",
    "IncompleteBody",
    "InternalError",
    "NoSuchUpload",  # the server dropped the multipart upload; a retry starts a new one
    "OperationAborted",
    "RequestLimitExceeded",
    "RequestTimeout",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequests",
    "XAmzContentSHA256Mismatch",
}
_TRANSIENT_STATUSES = {408, 409, 412, 429, 500, 502, 503, 504, 507, 509}
_SET_CREDENTIALS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (on a cluster: the secret that holds them)"


@contextmanager
def translate_s3_errors(action: str, where: str, bucket: str, endpoint: str) -> Iterator[None]:
    """Raise S3 errors as InputError or RetryableError.

    Args:
        action: "read", "write", "list" or "delete".
        where: the `s3://` URI of the object.
        bucket: its bucket.
        endpoint: the URL of the server.
    """
    context = f"cannot {action} {where} at {endpoint}: "
    try:
        yield
    except ClientError as error:
        raise _from_server(error, context, action, bucket) from error
    except (BotoCoreError, RetriesExceededError, S3DownloadFailedError) as error:
        raise _from_client(error, context) from error


def is_missing_key(error: ClientError) -> bool:
    """Whether the object does not exist; for a HEAD request, the bucket may be missing instead."""
    return error_code(error) in {"NoSuchKey", "404", "NotFound"}


def error_code(error: ClientError) -> str:
    """The error code of the server, or the HTTP status as text if the response had no body."""
    return str(error.response.get("Error", {}).get("Code", ""))


def _from_server(error: ClientError, context: str, action: str, bucket: str) -> SkutuneError:
    code, status = error_code(error), error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    details = f"{code} {error.response.get('Error', {}).get('Message', '')}".strip()
    if code in _TRANSIENT or status in _TRANSIENT_STATUSES:
        return RetryableError(
            f"{context}the server is overloaded or failing ({details}) after {_attempts(error)}; retry later"
        )
    if code in {"NoSuchBucket", "404", "NotFound"}:
        return InputError(f"{context}bucket {bucket!r} does not exist; create it, or correct the store URI")
    if code in _BAD_CREDENTIALS:
        return InputError(f"{context}the credentials are invalid or expired ({details}); {_SET_CREDENTIALS}")
    if code == "RequestTimeTooSkewed":
        return InputError(f"{context}the clock of this machine is wrong ({details}); synchronize it")
    if code in _FORBIDDEN or status in {401, 403}:
        return InputError(
            f"{context}these credentials are not allowed to {action} ({details}); grant s3:ListBucket, s3:GetObject, "
            f"s3:PutObject and s3:DeleteObject on {bucket!r}, or use other credentials{_policy_hint(action)}"
        )
    return InputError(
        f"{context}the server rejected the request ({details}); check bucket, prefix, AWS_DEFAULT_REGION "
        "and AWS_ENDPOINT_URL_S3"
    )


def _policy_hint(action: str) -> str:
    """What a bucket's policy may demand of a request that is refused with valid credentials."""
    chart = "store.encryption, store.requestPayer and store.checksumAlgorithm in the chart"
    if action == "write":
        return (
            f"; if the bucket's policy demands encryption, requester pays or a checksum, set {ENCRYPTION}, "
            f"{REQUEST_PAYER} or {CHECKSUM} ({chart})"
        )
    return f"; if requesters pay for the bucket, set {REQUEST_PAYER} (store.requestPayer in the chart)"


def _from_client(error: Exception, context: str) -> SkutuneError:
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return InputError(
            f"{context}no credentials were found ({error}); {_SET_CREDENTIALS}, AWS_PROFILE or an IAM role"
        )
    if _is_untrusted_certificate(error):
        return InputError(
            f"{context}the server certificate is not trusted ({error}); set AWS_CA_BUNDLE to your CA bundle"
        )
    if isinstance(error, ConnectionError):
        return RetryableError(
            f"{context}the server cannot be reached ({error}); check AWS_ENDPOINT_URL_S3, the network and its policies"
        )
    if isinstance(error, CredentialRetrievalError | MetadataRetrievalError):
        return RetryableError(f"{context}the credential provider does not respond ({error}); check it and run again")
    if isinstance(error, (*BROKEN_BODIES, RetriesExceededError, S3DownloadFailedError)):
        return RetryableError(f"{context}the transfer was interrupted ({error}); run again")
    return InputError(
        f"{context}the S3 client rejected the request ({error}); check AWS_PROFILE, AWS_DEFAULT_REGION "
        "and AWS_ENDPOINT_URL_S3"
    )


def _attempts(error: ClientError) -> str:
    attempts = error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0) + 1
    return "1 attempt" if attempts == 1 else f"{attempts} attempts"


def _is_untrusted_certificate(error: BaseException | None) -> bool:
    """Whether an untrusted certificate caused the error: no other TLS failure is fixed by a CA bundle."""
    visited: set[int] = set()
    while error is not None and id(error) not in visited:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        visited.add(id(error))
        # urllib3 keeps the wrapped error in `reason` or in its arguments, botocore in `kwargs["error"]`.
        nested = (getattr(error, "reason", None), getattr(error, "kwargs", {}).get("error"), *error.args)
        inner = next((item for item in nested if isinstance(item, BaseException)), None)
        error = inner or error.__cause__ or error.__context__
    return False
