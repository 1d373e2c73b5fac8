"""A store in an S3 bucket, on AWS or any S3-compatible server. The only module that imports boto3.

It relies only on operations that all servers implement alike: whole objects, multipart uploads and paginated listings.
boto3 resolves endpoint and credentials (environment, profile, workload identity); the config contains neither.
`s3_settings` has the parameters that a bucket's policy may demand.
"""

from __future__ import annotations

import os
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
from skutune.store.s3_errors import BROKEN_BODIES, is_missing_key, translate_s3_errors
from skutune.store.s3_settings import request_settings

CONNECT_TIMEOUT_SECONDS = 3
READ_TIMEOUT_SECONDS = 30
ATTEMPTS = 8
"""Total attempts per request. Backoff doubles from 1 s when throttled and from 50 ms otherwise: requests to a server
that is down fail after a few seconds, and to one behind a firewall that drops packets after 8 × 3 s plus up to 7 s."""

MEBIBYTE = 1 << 20
_BODY_ATTEMPTS = 3
_BUCKET = re.compile(r"[A-Za-z0-9._-]{3,255}")
_TRANSFER = TransferConfig(multipart_threshold=16 * MEBIBYTE, multipart_chunksize=16 * MEBIBYTE, max_concurrency=4)


class S3Store:
    """Objects below `prefix` in `bucket`. Implements `ObjectStore`; one store may serve many threads.

    Args:
        bucket: an existing bucket.
        prefix: prepended to all keys; leading and trailing slashes are ignored.

    Raises:
        InputError: bucket or prefix is invalid, or the environment does not configure a client or holds an unknown
            request setting.
    """

    def __init__(self, bucket: str, prefix: str = "") -> None:
        self.bucket = bucket
        self.prefix = prefix.strip("/")
        if not _BUCKET.fullmatch(bucket):
            raise InputError(f"store {self.uri}: {bucket!r} is not a valid bucket name; use s3://bucket/prefix")
        self._root = check_key(self.prefix) + "/" if self.prefix else ""
        self._bucket_exists = False
        settings = request_settings(os.environ)
        self._write, self._read = dict(settings.write), dict(settings.read)
        try:
            self._client = _build_client()
        except (BotoCoreError, ValueError) as error:
            raise InputError(
                f"store {self.uri}: cannot create the S3 client: {error}; check AWS_ENDPOINT_URL_S3 (a URL), "
                "AWS_PROFILE and AWS_DEFAULT_REGION"
            ) from error

    @property
    def uri(self) -> str:
        """`s3://bucket/prefix`."""
        return f"s3://{self.bucket}/{self.prefix}" if self.prefix else f"s3://{self.bucket}"

    def put(self, key: str, data: bytes) -> None:
        """Write an object in one request."""
        with self._translate_errors("write", key):
            self._client.put_object(Bucket=self.bucket, Key=self._name(key), Body=data, **self._write)

    def put_file(self, key: str, path: Path) -> None:
        """Write an object from a file, as a multipart upload if it is large."""
        with open(path, "rb") as source, self._translate_errors("write", key):
            self._client.upload_fileobj(
                source, self.bucket, self._name(key), ExtraArgs=self._write, Config=_TRANSFER, Callback=_on_transfer
            )

    def get(self, key: str) -> bytes:
        """The content of an object. Raises NotFoundError."""
        # A single request, so that the content is of one version whatever its size. The client does not retry bodies.
        for _ in range(_BODY_ATTEMPTS - 1):
            body = self._open(key)
            with suppress(*BROKEN_BODIES):
                return body.read()
        with self._translate_errors("read", key):
            return self._open(key).read()

    def get_file(self, key: str, path: Path) -> None:
        """Copy an object to a file atomically. Raises NotFoundError."""
        with translate_os_errors("write", path), atomic_write(path, durable=False) as file:
            self._download(key, file)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """All objects whose key starts with `prefix`, sorted by key."""
        return self._list(check_prefix(prefix))

    def folders(self, prefix: str = "") -> Iterator[str]:
        """The sorted names of the folders directly below the prefix; one request per thousand."""
        return self._folders(check_prefix(prefix))

    def head(self, key: str) -> ObjectInfo | None:
        """The metadata of an object, or None."""
        name = self._name(key)
        with self._translate_errors("read", key):
            try:
                response = self._client.head_object(Bucket=self.bucket, Key=name, **self._read)
            except ClientError as error:
                if not is_missing_key(error):
                    raise
                self._check_bucket()
                return None
        return ObjectInfo(key, response["ContentLength"], _version(response))

    def delete(self, key: str) -> None:
        """Delete an object; a missing key is not an error."""
        with self._translate_errors("delete", key):
            self._client.delete_object(Bucket=self.bucket, Key=self._name(key), **self._read)

    def _open(self, key: str) -> StreamingBody:
        name = self._name(key)
        with self._translate_errors("read", key):
            try:
                response = self._client.get_object(Bucket=self.bucket, Key=name, **self._read)
                body: StreamingBody = response["Body"]
                return body
            except ClientError as error:
                if not is_missing_key(error):
                    raise
                raise NotFoundError(f"store {self.uri}: no object {key!r}") from None

    def _download(self, key: str, target: BinaryIO) -> None:
        name = self._name(key)
        with self._translate_errors("read", key):
            try:
                self._client.download_fileobj(
                    self.bucket, name, target, ExtraArgs=self._read, Config=_TRANSFER, Callback=_on_transfer
                )
            except ClientError as error:
                if not is_missing_key(error):
                    raise
                self._check_bucket()
                raise NotFoundError(f"store {self.uri}: no object {key!r}") from None

    def _list(self, prefix: str) -> Iterator[ObjectInfo]:
        # Sorted below, because some servers list folder by folder: "a/b" before "a-b".
        with self._translate_errors("list", prefix):
            # A dict, because a server may list an object twice while it is being replaced.
            objects = {
                item["Key"]: (item["Size"], _version(item))
                for page in self._pages(Prefix=self._root + prefix)
                for item in page.get("Contents", ())
            }
        for name, (size, version) in sorted(objects.items()):
            if is_key(key := name.removeprefix(self._root)):
                yield ObjectInfo(key, size, version)

    def _folders(self, prefix: str) -> Iterator[str]:
        with self._translate_errors("list", prefix):
            # A set, because a server may repeat the last folder of a page at the start of the next.
            prefixes = {
                item["Prefix"].rstrip("/").removeprefix(self._root)
                for page in self._pages(Prefix=self._root + prefix, Delimiter="/")
                for item in page.get("CommonPrefixes", ())
            }
        yield from sorted(key.rpartition("/")[2] for key in prefixes if is_key(key))

    def _pages(self, **arguments: str) -> Iterable[dict[str, Any]]:
        pages: Iterable[dict[str, Any]] = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, **arguments, **self._read
        )
        return pages

    def _check_bucket(self) -> None:
        """Raise the client's error if the bucket does not exist: HEAD returns 404 for bucket and key alike."""
        if not self._bucket_exists:
            # Not HEAD, which takes no request settings.
            self._client.list_objects_v2(Bucket=self.bucket, MaxKeys=1, **self._read)
            self._bucket_exists = True

    def _name(self, key: str) -> str:
        return self._root + check_key(key)

    def _translate_errors(self, action: str, key: str) -> AbstractContextManager[None]:
        return translate_s3_errors(action, f"{self.uri}/{key}", self.bucket, self._client.meta.endpoint_url)


def _on_transfer(size: int) -> None:
    """Transfer callback: any bytes transferred count as progress."""
    heartbeat()


def _version(response: Mapping[str, Any]) -> str:
    """The ETag without the quotes, which only some servers send."""
    return str(response.get("ETag", "")).strip('"')


def _build_client() -> Any:
    """A client configured by the environment. Custom endpoints use path-style addressing unless a profile overrides it.

    Checksums are sent only where required: other servers reject or ignore the newer defaults of AWS.
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
    # A new session: creating clients from the default session is not thread-safe.
    return boto3.session.Session().client("s3", config=config)
