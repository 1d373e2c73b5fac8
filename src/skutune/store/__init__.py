"""Where everything that a run makes is kept: a local folder or an S3 bucket behind one small protocol."""

from __future__ import annotations

import uuid
from pathlib import Path

from skutune.errors import InputError
from skutune.store.base import NotFoundError, ObjectInfo, ObjectStore
from skutune.store.local import LocalStore

__all__ = ["NotFoundError", "ObjectInfo", "ObjectStore", "check_writable", "open_store"]

_PROBE = ".write-check-"


def open_store(uri: str) -> ObjectStore:
    """The store at a folder's path or at `s3://bucket/prefix`. Nothing is read or written yet.

    S3 takes its endpoint, region and credentials from where boto3 looks for them: AWS_ENDPOINT_URL_S3,
    AWS_DEFAULT_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, a workload identity.

    Raises:
        InputError: the address names no store, or the S3 client cannot be made from its environment.
    """
    scheme, separator, rest = uri.partition("://")
    if separator and scheme.lower() == "s3":
        return _open_s3(rest)
    if separator or scheme.lower().startswith("s3:"):
        raise InputError(f"store {uri!r}: not an address of a store; use a folder's path or s3://bucket/prefix")
    if not uri.strip():
        raise InputError("store: the address is empty; use a folder's path or s3://bucket/prefix")
    return LocalStore(Path(uri))


def check_writable(store: ObjectStore) -> None:
    """Put, read and delete a tiny object, so that a store's faults show before any work is done.

    Its key is new in every call: runs that start at the same time must not delete each other's.

    Raises:
        InputError, RetryableError: as every method of the store.
    """
    key = _PROBE + uuid.uuid4().hex
    store.put(key, b"ok")
    try:
        store.get(key)
    finally:
        store.delete(key)


def _open_s3(rest: str) -> ObjectStore:
    # Here, because boto3 takes a second to import and a laptop's run needs none of it.
    try:
        from skutune.store.s3 import S3Store
    except ModuleNotFoundError as error:
        if error.name not in {"boto3", "botocore", "s3transfer"}:
            raise
        raise InputError(
            f"store s3://{rest}: S3 needs boto3, which is not installed; run `pip install 'skutune[s3]'`"
        ) from None
    bucket, _, prefix = rest.partition("/")
    return S3Store(bucket, prefix)
