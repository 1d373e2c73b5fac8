"""What an S3 store says when the server, the network or the credentials are wrong."""

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
from skutune.store.s3_errors import translated


@pytest.fixture(params=["seaweedfs", "rclone"])
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    server: S3Server = request.getfixturevalue(request.param)
    server.set_environment(monkeypatch)
    return server


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ObjectStore]:
    """Opens a store at an endpoint that has one bucket, with credentials that nobody checks."""

    def open_at(endpoint: str) -> ObjectStore:
        S3Server(endpoint, "anybody", "anything", "bucket").set_environment(monkeypatch)
        return open_store("s3://bucket/prefix")

    return open_at


Reply = tuple[int, bytes, int]
"""Status, body, and the length that the header tells."""

BUSY = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


@contextmanager
def serving(*replies: Reply, context: ssl.SSLContext | None = None) -> Iterator[tuple[str, list[str]]]:
    """A server with given replies, the last one for ever; yields its endpoint and the paths that were asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body, length = replies[min(len(asked), len(replies) - 1)]
            asked.append(self.path)
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
        yield f"{scheme}://localhost:{server.server_address[1]}", asked
        server.shutdown()


def every_use(store: ObjectStore, folder: Path) -> list[Callable[[], object]]:
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


def test_a_missing_bucket_is_named_by_every_use(server: S3Server, tmp_path: Path) -> None:
    for use in every_use(open_store("s3://no-such-bucket/runs"), tmp_path)[:6]:
        with pytest.raises(InputError, match="there is no bucket 'no-such-bucket'; create the bucket"):
            use()


def test_a_wrong_secret_is_an_error_of_the_input(
    server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    for use in every_use(open_store(f"s3://{server.bucket}/runs"), tmp_path):
        with pytest.raises(InputError, match=re.escape(server.endpoint)):
            use()


def test_an_unknown_access_key_is_an_error_of_the_input(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    with pytest.raises(InputError, match=r"set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY|other credentials"):
        check_writable(open_store(f"s3://{server.bucket}/runs"))


def test_no_credentials_at_all_are_an_error_of_the_input(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(InputError, match=r"no credentials were found .* set AWS_ACCESS_KEY_ID"):
        check_writable(open_store(f"s3://{server.bucket}/runs"))


def test_half_of_the_credentials_are_an_error_of_the_input(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(InputError, match=r"AWS_SECRET_ACCESS_KEY"):
        check_writable(open_store(f"s3://{server.bucket}/runs"))


def test_who_may_only_read_can_read_and_is_told_so_before_any_work(
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
    with pytest.raises(InputError, match=r"no right to write there .* allow s3:ListBucket"):
        check_writable(store)
    with pytest.raises(InputError, match="no right to delete there"):
        store.delete("a")


def test_an_unreachable_server_is_worth_another_try_well_within_a_minute(
    at: Callable[[str], ObjectStore],
) -> None:
    store = at(f"http://127.0.0.1:{free_port()}")
    started = time.monotonic()
    with pytest.raises(RetryableError, match=r"the server cannot be reached .* check AWS_ENDPOINT_URL_S3"):
        check_writable(store)
    assert time.monotonic() - started < 30


def test_a_server_that_does_not_answer_is_worth_another_try(
    at: Callable[[str], ObjectStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "ATTEMPTS", 1)
    monkeypatch.setattr(s3, "READ_TIMEOUT_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = at(f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(RetryableError, match="run again"):
            store.get("a")


def test_a_folder_made_in_a_console_is_no_object(seaweedfs: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    seaweedfs.set_environment(monkeypatch)
    prefix = uuid.uuid4().hex
    store = open_store(f"s3://{seaweedfs.bucket}/{prefix}")
    client = boto3.session.Session().client("s3")
    for name in (f"{prefix}/", f"{prefix}/folder/"):
        client.put_object(Bucket=seaweedfs.bucket, Key=name)
    store.put("folder/a", b".")
    assert [found.key for found in store.list()] == ["folder/a"]


def test_a_listing_that_fails_names_what_was_listed(server: S3Server) -> None:
    with pytest.raises(InputError, match="cannot list s3://no-such-bucket/runs/describe at http"):
        list(open_store("s3://no-such-bucket/runs").list("describe"))


def test_a_busy_server_is_asked_again(at: Callable[[str], ObjectStore]) -> None:
    with serving((503, BUSY, len(BUSY)), (200, b"", 0)) as (endpoint, asked):
        at(endpoint).put("a", b".")
    assert asked == ["/bucket/prefix/a"] * 2


def test_a_server_that_stays_busy_is_worth_another_try_later(
    at: Callable[[str], ObjectStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "ATTEMPTS", 2)
    with serving((503, BUSY, len(BUSY))) as (endpoint, asked):
        store = at(endpoint)
        with pytest.raises(RetryableError, match=r"busy or failing \(SlowDown Please reduce .*\), also after 2 tries"):
            store.put("a", b".")
    assert len(asked) == 2


def test_an_answer_that_breaks_off_is_asked_for_again(at: Callable[[str], ObjectStore]) -> None:
    with serving((200, b"half", 8), (200, b"the whole", 9)) as (endpoint, asked):
        assert at(endpoint).get("a") == b"the whole"
    assert len(asked) == 2


def test_answers_that_always_break_off_are_worth_another_try_later(at: Callable[[str], ObjectStore]) -> None:
    with serving((200, b"half", 8)) as (endpoint, asked):
        store = at(endpoint)
        with pytest.raises(RetryableError, match="the transfer broke off"):
            store.get("a")
    assert len(asked) == 3


def test_a_certificate_that_nobody_trusts_points_to_the_bundle(
    at: Callable[[str], ObjectStore], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
        store = at(endpoint)
        with pytest.raises(InputError, match=r"certificate is not trusted .* name your CA bundle in AWS_CA_BUNDLE"):
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
def test_what_a_server_answers_decides_who_must_act(code: str, status: int, expected: type[SkutuneError]) -> None:
    answer: Any = {"Error": {"Code": code, "Message": "as told"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    told = pytest.raises(expected, match=r"cannot write s3://bucket/a at https://s3: .+; .+")
    with told as raised, translated("write", "s3://bucket/a", "bucket", "https://s3"):
        raise ClientError(answer, "PutObject")
    assert type(raised.value) is expected


def test_a_fault_of_our_own_is_not_blamed_on_the_server() -> None:
    with pytest.raises(ZeroDivisionError), translated("write", "s3://bucket/a", "bucket", "https://s3"):
        raise ZeroDivisionError


def test_a_custom_endpoint_is_addressed_by_path(at: Callable[[str], ObjectStore]) -> None:
    missing = b"<Error><Code>NoSuchKey</Code></Error>"
    told = pytest.raises(NotFoundError, match="s3://bucket/prefix: no object 'a b'")
    with serving((404, missing, len(missing))) as (endpoint, asked), told:
        at(endpoint).get("a b")
    assert endpoint.startswith("http://localhost:")  # a name, before which a bucket's name could be put
    assert asked == ["/bucket/prefix/a%20b"]


@pytest.mark.parametrize("uri", ["s3://", "s3:///prefix", "s3://a", "s3://bucket with space/p", "s3://b%20/p"])
def test_an_address_without_a_bucket_is_refused(uri: str) -> None:
    with pytest.raises(InputError, match="is not a bucket's name; write s3://bucket/prefix"):
        open_store(uri)


def test_a_prefix_is_held_to_the_rules_of_keys() -> None:
    with pytest.raises(InputError, match="store key"):
        open_store("s3://bucket/a/../b")


def test_an_endpoint_that_is_no_url_is_an_error_of_the_input(at: Callable[[str], ObjectStore]) -> None:
    with pytest.raises(InputError, match=r"not-a-url.* check AWS_ENDPOINT_URL_S3"):
        at("not-a-url")


def test_a_profile_that_does_not_exist_is_an_error_of_the_input(
    server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(InputError, match=r"nobody.* AWS_PROFILE"):
        open_store("s3://bucket")
