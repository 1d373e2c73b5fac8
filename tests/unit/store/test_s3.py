"""Errors of an S3 store when server, network or credentials fail."""

from __future__ import annotations

import re
import socket
import ssl
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from servers import S3Server, free_port

from skutune.errors import InputError, RetryableError, SkutuneError
from skutune.store import NotFoundError, ObjectStore, check_writable, open_store, s3
from skutune.store.s3_errors import translate_s3_errors


@pytest.fixture(params=["seaweedfs", "rclone"])
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    server: S3Server = request.getfixturevalue(request.param)
    server.set_environment(monkeypatch)
    return server


@pytest.fixture
def open_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ObjectStore]:
    """Opens a store at an endpoint, with arbitrary credentials."""

    def open_endpoint(endpoint: str) -> ObjectStore:
        S3Server(endpoint, "anybody", "anything", "bucket").set_environment(monkeypatch)
        return open_store("s3://bucket/prefix")

    return open_endpoint


Reply = tuple[int, bytes, int]
"""Status, body, and Content-Length."""

BUSY = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


@contextmanager
def serving(*replies: Reply, context: ssl.SSLContext | None = None) -> Iterator[tuple[str, list[str]]]:
    """Serve fixed replies, repeating the last one; yields the endpoint and the list of requested paths."""
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body, length = replies[min(len(paths), len(replies) - 1)]
            paths.append(self.path)
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(body)

        do_PUT = do_GET  # noqa: N815 - named by http.server

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        scheme = "http"
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
            scheme = "https"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"{scheme}://localhost:{server.server_address[1]}", paths
        server.shutdown()


def all_operations(store: ObjectStore, folder: Path) -> list[Callable[[], object]]:
    source = folder / "source"
    source.write_bytes(b".")
    return [
        lambda: store.put("a", b"."),
        lambda: store.put_file("a", source),
        lambda: store.get("a"),
        lambda: store.get_file("a", folder / "copy"),
        lambda: store.head("a"),
        lambda: list(store.list()),
        lambda: store.delete("a"),
        lambda: check_writable(store),
    ]


def test_every_operation_reports_a_missing_bucket(server: S3Server, tmp_path: Path) -> None:
    for operation in all_operations(open_store("s3://no-such-bucket/runs"), tmp_path)[:6]:
        with pytest.raises(InputError, match="bucket 'no-such-bucket' does not exist; create it"):
            operation()


def test_a_wrong_secret_is_an_input_error(server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    for operation in all_operations(open_store(f"s3://{server.bucket}/runs"), tmp_path):
        with pytest.raises(InputError, match=re.escape(server.endpoint)):
            operation()


def test_an_unknown_access_key_is_an_input_error(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    with pytest.raises(InputError, match=r"set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY|other credentials"):
        check_writable(open_store(f"s3://{server.bucket}/runs"))


def test_missing_credentials_are_an_input_error(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(InputError, match=r"no credentials were found .* set AWS_ACCESS_KEY_ID"):
        check_writable(open_store(f"s3://{server.bucket}/runs"))


def test_partial_credentials_are_an_input_error(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(InputError, match=r"AWS_SECRET_ACCESS_KEY"):
        check_writable(open_store(f"s3://{server.bucket}/runs"))


def test_read_only_credentials_can_read_and_fail_the_write_check(
    seaweedfs: S3Server, seaweedfs_reader: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    seaweedfs.set_environment(monkeypatch)
    uri = f"s3://{seaweedfs.bucket}/readable"
    open_store(uri).put("a", b".")
    seaweedfs_reader.set_environment(monkeypatch)
    store = open_store(uri)
    assert store.get("a") == b"."
    assert store.head("nothing") is None
    assert [found.key for found in store.list()] == ["a"]
    with pytest.raises(InputError, match=r"not allowed to write .* grant s3:ListBucket"):
        check_writable(store)
    with pytest.raises(InputError, match="not allowed to delete"):
        store.delete("a")


def test_an_unreachable_server_is_retryable_within_thirty_seconds(
    open_at: Callable[[str], ObjectStore],
) -> None:
    store = open_at(f"http://127.0.0.1:{free_port()}")
    started = time.monotonic()
    with pytest.raises(RetryableError, match=r"the server cannot be reached .* check AWS_ENDPOINT_URL_S3"):
        check_writable(store)
    assert time.monotonic() - started < 30


def test_a_server_that_does_not_respond_is_retryable(
    open_at: Callable[[str], ObjectStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "ATTEMPTS", 1)
    monkeypatch.setattr(s3, "READ_TIMEOUT_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = open_at(f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(RetryableError, match="run again"):
            store.get("a")


def test_folder_markers_of_s3_consoles_are_not_listed(seaweedfs: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    seaweedfs.set_environment(monkeypatch)
    prefix = uuid.uuid4().hex
    store = open_store(f"s3://{seaweedfs.bucket}/{prefix}")
    client = boto3.session.Session().client("s3")
    for name in (f"{prefix}/", f"{prefix}/folder/"):
        client.put_object(Bucket=seaweedfs.bucket, Key=name)
    store.put("folder/a", b".")
    assert [found.key for found in store.list()] == ["folder/a"]


def test_a_failed_listing_names_its_prefix(server: S3Server) -> None:
    with pytest.raises(InputError, match="cannot list s3://no-such-bucket/runs/describe at http"):
        list(open_store("s3://no-such-bucket/runs").list("describe"))


def test_requests_to_an_overloaded_server_are_retried(open_at: Callable[[str], ObjectStore]) -> None:
    with serving((503, BUSY, len(BUSY)), (200, b"", 0)) as (endpoint, paths):
        open_at(endpoint).put("a", b".")
    assert paths == ["/bucket/prefix/a"] * 2


def test_a_server_that_stays_overloaded_is_a_retryable_error(
    open_at: Callable[[str], ObjectStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "ATTEMPTS", 2)
    with serving((503, BUSY, len(BUSY))) as (endpoint, paths):
        store = open_at(endpoint)
        with pytest.raises(
            RetryableError, match=r"overloaded or failing \(SlowDown Please reduce .*\) after 2 attempts"
        ):
            store.put("a", b".")
    assert len(paths) == 2


def test_a_truncated_body_is_requested_again(open_at: Callable[[str], ObjectStore]) -> None:
    with serving((200, b"half", 8), (200, b"full body", 9)) as (endpoint, paths):
        assert open_at(endpoint).get("a") == b"full body"
    assert len(paths) == 2


def test_bodies_that_stay_truncated_are_a_retryable_error(open_at: Callable[[str], ObjectStore]) -> None:
    with serving((200, b"half", 8)) as (endpoint, paths):
        store = open_at(endpoint)
        with pytest.raises(RetryableError, match="the transfer was interrupted"):
            store.get("a")
    assert len(paths) == 3


def test_an_untrusted_certificate_error_suggests_a_ca_bundle(
    open_at: Callable[[str], ObjectStore], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "ATTEMPTS", 1)
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serving((200, b".", 1), context=context) as (endpoint, _):
        store = open_at(endpoint)
        with pytest.raises(InputError, match=r"certificate is not trusted .* set AWS_CA_BUNDLE to your CA bundle"):
            store.get("a")
        monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
        assert open_store(store.uri).get("a") == b"."


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("SlowDown", 503, RetryableError),
        ("InternalError", 500, RetryableError),
        ("502", 502, RetryableError),
        ("TooManyRequests", 429, RetryableError),
        ("RequestTimeout", 400, RetryableError),
        ("InsufficientStorage", 507, RetryableError),
        ("AccessDenied", 403, InputError),
        ("403", 403, InputError),
        ("InvalidAccessKeyId", 403, InputError),
        ("ExpiredToken", 400, InputError),
        ("NoSuchBucket", 404, InputError),
        ("RequestTimeTooSkewed", 403, InputError),
        ("PermanentRedirect", 301, InputError),
        ("InvalidArgument", 400, InputError),
    ],
)
def test_the_error_code_determines_the_error_class(code: str, status: int, expected: type[SkutuneError]) -> None:
    answer: Any = {"Error": {"Code": code, "Message": "details"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    expects = pytest.raises(expected, match=r"cannot write s3://bucket/a at https://s3: .+; .+")
    with expects as raised, translate_s3_errors("write", "s3://bucket/a", "bucket", "https://s3"):
        raise ClientError(answer, "PutObject")
    assert type(raised.value) is expected


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 507, 509])
def test_a_transient_status_is_retryable_whatever_the_error_code(status: int) -> None:
    answer: Any = {"Error": {"Code": "Unheard"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    with pytest.raises(RetryableError), translate_s3_errors("read", "s3://b/k", "b", "http://s3"):
        raise ClientError(answer, "GetObject")


def test_other_exceptions_are_not_translated() -> None:
    with pytest.raises(ZeroDivisionError), translate_s3_errors("write", "s3://bucket/a", "bucket", "https://s3"):
        raise ZeroDivisionError


def test_a_custom_endpoint_uses_path_style_addressing(open_at: Callable[[str], ObjectStore]) -> None:
    missing = b"<Error><Code>NoSuchKey</Code></Error>"
    expects = pytest.raises(NotFoundError, match="s3://bucket/prefix: no object 'a b'")
    with serving((404, missing, len(missing))) as (endpoint, paths), expects:
        open_at(endpoint).get("a b")
    assert endpoint.startswith("http://localhost:")  # a host name, which would allow virtual-hosted addressing
    assert paths == ["/bucket/prefix/a%20b"]


@pytest.mark.parametrize("uri", ["s3://", "s3:///prefix", "s3://a", "s3://bucket with space/p", "s3://b%20/p"])
def test_a_uri_without_a_valid_bucket_is_rejected(uri: str) -> None:
    with pytest.raises(InputError, match="is not a valid bucket name; use s3://bucket/prefix"):
        open_store(uri)


def test_the_prefix_must_be_a_valid_key() -> None:
    with pytest.raises(InputError, match="store key"):
        open_store("s3://bucket/a/../b")


def test_an_endpoint_that_is_not_a_url_is_an_input_error(open_at: Callable[[str], ObjectStore]) -> None:
    with pytest.raises(InputError, match=r"not-a-url.* check AWS_ENDPOINT_URL_S3"):
        open_at("not-a-url")


def test_an_unknown_profile_is_an_input_error(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(InputError, match=r"nobody.* AWS_PROFILE"):
        open_store("s3://bucket")
