"""A store in an S3 bucket, on AWS or on any server that speaks its protocol. The only importer of boto3.

Of the protocol it uses what all servers do alike: whole objects, multipart uploads, listings in pages. Who to talk to
and as whom is boto3's own business (environment, profile, workload identity); nothing of it is in a config.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.response import StreamingBody

from skutune.errors import InputError
from skutune.process.watchdog import heartbeat
from skutune.store.atomic_files import atomic_write, translate_os_errors
from skutune.store.base import NotFoundError, ObjectInfo
from skutune.store.keys import check_key, check_prefix, is_key
from skutune.store.s3_errors import BROKEN_BODIES, is_missing_key, translated

CONNECT_TIMEOUT_SECONDS = 3
READ_TIMEOUT_SECONDS = 30
ATTEMPTS = 8
"""Requests in all. Backoff doubles from 1 s when throttled and from 50 ms otherwise, so that a server that is down is
given up after some seconds, and one behind a wall that drops packets after 8 × 3 s and at most 7 s more."""

MEBIBYTE = 1 << 20
_BODY_READS = 3
_BUCKET = re.compile(r"[A-Za-z0-9._-]{3,255}")
_TRANSFER = TransferConfig(multipart_threshold=16 * MEBIBYTE, multipart_chunksize=16 * MEBIBYTE, max_concurrency=4)


class S3Store:
    """Objects below `prefix` in `bucket`. Implements `ObjectStore`; one store may serve many threads.

    Args:
        bucket: an existing bucket.
        prefix: where keys start in it; slashes around it do not count.

    Raises:
        InputError: bucket or prefix cannot be one, or no client can be made from the environment.
    """

    def __init__(self, bucket: str, prefix: str = "") -> None:
        self.bucket = bucket
        self.prefix = prefix.strip("/")
        if not _BUCKET.fullmatch(bucket):
            raise InputError(f"store {self.uri}: {bucket!r} is not a bucket's name; write s3://bucket/prefix")
        self._root = check_key(self.prefix) + "/" if self.prefix else ""
        self._bucket_seen = False
        try:
            self._client = _build_client()
        except (BotoCoreError, ValueError) as error:
            raise InputError(
                f"store {self.uri}: the S3 client cannot be made: {error}; check AWS_ENDPOINT_URL_S3 (a URL), "
                "AWS_PROFILE and AWS_DEFAULT_REGION"
            ) from error

    @property
    def uri(self) -> str:
        """`s3://bucket/prefix`."""
        return f"s3://{self.bucket}/{self.prefix}" if self.prefix else f"s3://{self.bucket}"

    def put(self, key: str, data: bytes) -> None:
        """Write one object whole, in one request."""
        with self._translated("write", key):
            self._client.put_object(Bucket=self.bucket, Key=self._name(key), Body=data)

    def put_file(self, key: str, path: Path) -> None:
        """Write one object whole from a file, in several parts where it is large."""
        with open(path, "rb") as source, self._translated("write", key):
            self._client.upload_fileobj(source, self.bucket, self._name(key), Config=_TRANSFER, Callback=_moved)

    def get(self, key: str) -> bytes:
        """The whole object. Raises NotFoundError."""
        # One request, so that what is read is one version whatever its size; the client does not retry a body.
        for _ in range(_BODY_READS - 1):
            body = self._open(key)
            with suppress(*BROKEN_BODIES):
                return body.read()
        with self._translated("read", key):
            return self._open(key).read()

    def get_file(self, key: str, path: Path) -> None:
        """Copy the object into a file, whole. Raises NotFoundError."""
        with translate_os_errors("write", path), atomic_write(path, durable=False) as file:
            self._download(key, file)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """All objects whose key starts with the prefix, sorted by key."""
        return self._list(check_prefix(prefix))

    def folders(self, prefix: str = "") -> Iterator[str]:
        """The names of the folders directly below the prefix, sorted; a request a thousand of them."""
        return self._folders(check_prefix(prefix))

    def head(self, key: str) -> ObjectInfo | None:
        """The object's size and version, or None."""
        name = self._name(key)
        with self._translated("read", key):
            try:
                found = self._client.head_object(Bucket=self.bucket, Key=name)
            except ClientError as error:
                if not is_missing_key(error):
                    raise
                self._check_bucket()
                return None
        return ObjectInfo(key, found["ContentLength"], _version(found))

    def delete(self, key: str) -> None:
        """Remove the object; nothing happens where there is none."""
        with self._translated("delete", key):
            self._client.delete_object(Bucket=self.bucket, Key=self._name(key))

    def _open(self, key: str) -> StreamingBody:
        name = self._name(key)
        with self._translated("read", key):
            try:
                body: StreamingBody = self._client.get_object(Bucket=self.bucket, Key=name)["Body"]
                return body
            except ClientError as error:
                if not is_missing_key(error):
                    raise
                raise NotFoundError(f"store {self.uri}: no object {key!r}") from None

    def _download(self, key: str, target: BinaryIO) -> None:
        name = self._name(key)
        with self._translated("read", key):
            try:
                self._client.download_fileobj(self.bucket, name, target, Config=_TRANSFER, Callback=_moved)
            except ClientError as error:
                if not is_missing_key(error):
                    raise
                self._check_bucket()
                raise NotFoundError(f"store {self.uri}: no object {key!r}") from None

    def _list(self, prefix: str) -> Iterator[ObjectInfo]:
        # Some servers list folder by folder, which is not the order of keys: "a/b" before "a-b".
        with self._translated("list", prefix):
            # By key, because a server may name an object twice while it is being replaced.
            found = {
                item["Key"]: (item["Size"], _version(item))
                for page in self._pages(Prefix=self._root + prefix)
                for item in page.get("Contents", ())
            }
        for name, (size, version) in sorted(found.items()):
            if is_key(key := name.removeprefix(self._root)):
                yield ObjectInfo(key, size, version)

    def _folders(self, prefix: str) -> Iterator[str]:
        with self._translated("list", prefix):
            # A set, because a server may begin a page with the folder that the one before ended with.
            found = {
                item["Prefix"].rstrip("/").removeprefix(self._root)
                for page in self._pages(Prefix=self._root + prefix, Delimiter="/")
                for item in page.get("CommonPrefixes", ())
            }
        yield from sorted(key.rpartition("/")[2] for key in found if is_key(key))

    def _pages(self, **arguments: str) -> Iterable[dict[str, Any]]:
        pages: Iterable[dict[str, Any]] = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, **arguments
        )
        return pages

    def _check_bucket(self) -> None:
        """Tell a missing bucket from a missing key: the answer to a HEAD request is 404 for both."""
        if not self._bucket_seen:
            self._client.head_bucket(Bucket=self.bucket)
            self._bucket_seen = True

    def _name(self, key: str) -> str:
        return self._root + check_key(key)

    def _translated(self, action: str, key: str) -> AbstractContextManager[None]:
        return translated(action, f"{self.uri}/{key}", self.bucket, self._client.meta.endpoint_url)


def _moved(size: int) -> None:
    """Called by the client with the bytes that went over the network."""
    heartbeat()


def _version(found: Mapping[str, Any]) -> str:
    """The ETag, which some servers quote and others do not."""
    return str(found.get("ETag", "")).strip('"')


def _build_client() -> Any:
    """A client for what the environment names. A custom endpoint is addressed by path unless a profile says otherwise.

    Checksums only where the protocol wants them: the newer default of AWS is refused or ignored by other servers.
    """
    config = Config(
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        read_timeout=READ_TIMEOUT_SECONDS,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        max_pool_connections=16,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        user_agent_extra="skutune",
    )
    # A session of its own: the default one is not safe to share between threads while clients are made.
    return boto3.session.Session().client("s3", config=config)
