"""What an S3 server's and its client's errors mean for a person, and who must act.

Servers agree on codes and statuses far more than on texts, so texts are only shown. Transient faults arrive here after
the client has retried them with backoff.
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

BROKEN_BODIES = (HTTPClientError, IncompleteReadError, ResponseStreamingError)
"""How the transfer of an object ends early, once the server has begun to send it."""

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
    "NoSuchUpload",  # a multipart upload that the server has dropped; the next one begins anew
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
def translated(action: str, where: str, bucket: str, endpoint: str) -> Iterator[None]:
    """Raise the client's errors as InputError or RetryableError.

    Args:
        action: what was tried: "read", "write", "list" or "delete".
        where: the object's `s3://` address.
        bucket: its bucket.
        endpoint: the server's URL.
    """
    start = f"cannot {action} {where} at {endpoint}: "
    try:
        yield
    except ClientError as error:
        raise _from_server(error, start, action, bucket) from error
    except (BotoCoreError, RetriesExceededError, S3DownloadFailedError) as error:
        raise _from_client(error, start) from error


def is_missing_key(error: ClientError) -> bool:
    """Whether the server said that there is no such object; for a HEAD request it may be the bucket that is missing."""
    return error_code(error) in {"NoSuchKey", "404", "NotFound"}


def error_code(error: ClientError) -> str:
    """The server's word for the error; a status as text where the answer had no body."""
    return str(error.response.get("Error", {}).get("Code", ""))


def _from_server(error: ClientError, start: str, action: str, bucket: str) -> SkutuneError:
    code, status = error_code(error), error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    said = f"{code} {error.response.get('Error', {}).get('Message', '')}".strip()
    if code in _TRANSIENT or status in _TRANSIENT_STATUSES:
        return RetryableError(f"{start}the server is busy or failing ({said}), also after {_tries(error)}; try later")
    if code in {"NoSuchBucket", "404", "NotFound"}:
        return InputError(f"{start}there is no bucket {bucket!r}; create the bucket, or correct the store's address")
    if code in _BAD_CREDENTIALS:
        return InputError(f"{start}the credentials are wrong or expired ({said}); {_SET_CREDENTIALS}")
    if code == "RequestTimeTooSkewed":
        return InputError(f"{start}this machine's clock is wrong ({said}); set it")
    if code in _FORBIDDEN or status in {401, 403}:
        return InputError(
            f"{start}these credentials have no right to {action} there ({said}); allow s3:ListBucket, s3:GetObject, "
            f"s3:PutObject and s3:DeleteObject on {bucket!r}, or use other credentials"
        )
    return InputError(
        f"{start}the server refuses ({said}); check bucket, prefix, AWS_DEFAULT_REGION and AWS_ENDPOINT_URL_S3"
    )


def _from_client(error: Exception, start: str) -> SkutuneError:
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return InputError(f"{start}no credentials were found ({error}); {_SET_CREDENTIALS}, AWS_PROFILE or a role")
    if _is_untrusted_certificate(error):
        return InputError(f"{start}its certificate is not trusted ({error}); name your CA bundle in AWS_CA_BUNDLE")
    if isinstance(error, ConnectionError):
        return RetryableError(
            f"{start}the server cannot be reached ({error}); check AWS_ENDPOINT_URL_S3, the network and its policies"
        )
    if isinstance(error, CredentialRetrievalError | MetadataRetrievalError):
        return RetryableError(f"{start}the credentials' source does not answer ({error}); check it and run again")
    if isinstance(error, (*BROKEN_BODIES, RetriesExceededError, S3DownloadFailedError)):
        return RetryableError(f"{start}the transfer broke off ({error}); run again")
    return InputError(
        f"{start}the S3 client refuses ({error}); check AWS_PROFILE, AWS_DEFAULT_REGION and AWS_ENDPOINT_URL_S3"
    )


def _tries(error: ClientError) -> str:
    tries = error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0) + 1
    return "1 try" if tries == 1 else f"{tries} tries"


def _is_untrusted_certificate(error: BaseException | None) -> bool:
    """Whether a refused certificate lies behind an error: no other fault of TLS is cured by another CA bundle."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        seen.add(id(error))
        # urllib3 keeps what it wraps in `reason` or among its arguments, botocore in `kwargs["error"]`.
        nested = (getattr(error, "reason", None), getattr(error, "kwargs", {}).get("error"), *error.args)
        inner = next((item for item in nested if isinstance(item, BaseException)), None)
        error = inner or error.__cause__ or error.__context__
    return False
