"""Storage for the outputs of a run: a local folder or an S3 bucket behind one small protocol."""

from __future__ import annotations

import uuid
from pathlib import Path

from skutune.errors import InputError
from skutune.store.base import NotFoundError, ObjectInfo, ObjectStore
from skutune.store.local import LocalStore

__all__ = ["NotFoundError", "ObjectInfo", "ObjectStore", "check_writable", "open_store"]

_PROBE = ".write-check-"


def open_store(uri: str) -> ObjectStore:
    """The store at a folder path or at `s3://bucket/prefix`. Opening it does no I/O.

    S3 endpoint, region and credentials are resolved by boto3 as usual: AWS_ENDPOINT_URL_S3, AWS_DEFAULT_REGION,
    AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or a workload identity.

    Raises:
        InputError: the URI is invalid, or the environment does not configure an S3 client.
    """
    scheme, separator, rest = uri.partition("://")
    if separator and scheme.lower() == "s3":
        return _open_s3(rest)
    if separator or scheme.lower().startswith("s3:"):
        raise InputError(f"store {uri!r}: unsupported URI; use a folder path or s3://bucket/prefix")
    if not uri.strip():
        raise InputError("store: the path is empty; use a folder path or s3://bucket/prefix")
    return LocalStore(Path(uri))


def check_writable(store: ObjectStore) -> None:
    """Put, get and delete a probe object, so that storage problems surface before any work is done.

    The key is unique per call: concurrent runs must not delete each other's probe.

    Raises:
        InputError, RetryableError: as for every method of the store.
    """
    key = _PROBE + uuid.uuid4().hex
    store.put(key, b"ok")
    try:
        store.get(key)
    finally:
        store.delete(key)


def _open_s3(rest: str) -> ObjectStore:
    # Imported lazily: boto3 takes a second to import, and local runs do not need it.
    try:
        from skutune.store.s3 import S3Store
    except ModuleNotFoundError as error:
        if error.name not in {"boto3", "botocore", "s3transfer"}:
            raise
        raise InputError(
            f"store s3://{rest}: S3 stores require boto3; install it with `pip install 'skutune[s3]'`"
        ) from None
    bucket, _, prefix = rest.partition("/")
    return S3Store(bucket, prefix)
