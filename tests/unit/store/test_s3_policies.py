"""Buckets whose policy demands a header: encryption, requester pays. A proxy enforces it in front of a real server."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from servers import S3Server

from skutune.errors import InputError
from skutune.store import ObjectStore, check_writable, open_store
from skutune.store.s3_settings import request_settings

DENIED = b"<Error><Code>AccessDenied</Code><Message>explicit deny in a resource-based policy</Message></Error>"
LARGE = b"y" * (20 << 20)  # a multipart upload


@contextmanager
def with_policy(server: S3Server, header: str, value: str, of_writes_only: bool) -> Iterator[str]:
    """A proxy that denies requests about objects without this header; yields its endpoint."""
    target = urlsplit(server.endpoint)

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.is_covered() and self.headers.get(header) != value:
                self.respond(403, {"Content-Type": "application/xml"}, DENIED)
                return
            connection = HTTPConnection(str(target.hostname), target.port or 80)
            connection.request(self.command, self.path, body, dict(self.headers))
            response = connection.getresponse()
            self.respond(response.status, dict(response.getheaders()), response.read())

        do_PUT = do_POST = do_DELETE = do_HEAD = do_GET  # noqa: N815 - named by http.server

        def is_covered(self) -> bool:
            path, _, query = self.path.partition("?")
            if not of_writes_only:
                return True
            starts_upload = self.command == "POST" and "uploads" in query
            writes_whole = self.command == "PUT" and "uploadId" not in query
            return path.count("/") > 1 and (starts_upload or writes_whole)

        def respond(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, text in headers.items():
                if name.lower() not in ("transfer-encoding", "connection") and not (
                    name.lower() == "content-length" and self.command != "HEAD"
                ):
                    self.send_header(name, text)
            if self.command != "HEAD":
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        threading.Thread(target=proxy.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{proxy.server_address[1]}"
        proxy.shutdown()


@pytest.mark.parametrize(
    ("header", "value", "variable", "of_writes_only"),
    [
        ("x-amz-server-side-encryption", "AES256", "SKUTUNE_S3_ENCRYPTION", True),
        ("x-amz-server-side-encryption", "aws:kms", "SKUTUNE_S3_ENCRYPTION", True),
        ("x-amz-request-payer", "requester", "SKUTUNE_S3_REQUEST_PAYER", False),
    ],
)
def test_a_demanded_header_is_sent_with_every_operation_and_named_where_it_is_missing(
    rclone: S3Server,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    header: str,
    value: str,
    variable: str,
    of_writes_only: bool,
) -> None:
    rclone.set_environment(monkeypatch)
    with with_policy(rclone, header, value, of_writes_only) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
        uri = f"s3://{rclone.bucket}/{tmp_path.name}"
        with pytest.raises(InputError, match=f"not allowed to write .*{variable}"):
            check_writable(open_store(uri))
        monkeypatch.setenv(variable, value)
        use_every_operation(open_store(uri), tmp_path)


def use_every_operation(store: ObjectStore, folder: Path) -> None:
    check_writable(store)
    store.put("folder/small", b"x")
    (folder / "large").write_bytes(LARGE)
    store.put_file("folder/large", folder / "large")
    assert store.get("folder/small") == b"x"
    store.get_file("folder/large", folder / "copy")
    assert (folder / "copy").read_bytes() == LARGE
    assert [info.key for info in store.list()] == ["folder/large", "folder/small"]
    assert list(store.folders()) == ["folder"]
    assert store.head("folder/small") is not None
    store.delete("folder/small")
    assert store.head("folder/small") is None


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA256"])
def test_a_checksum_is_sent_and_verified(
    seaweedfs: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, algorithm: str
) -> None:
    seaweedfs.set_environment(monkeypatch)
    monkeypatch.setenv("SKUTUNE_S3_CHECKSUM_ALGORITHM", algorithm)
    use_every_operation(open_store(f"s3://{seaweedfs.bucket}/{tmp_path.name}"), tmp_path)


def test_a_kms_key_is_sent_with_writes_only() -> None:
    settings = request_settings({"SKUTUNE_S3_ENCRYPTION": "aws:kms", "SKUTUNE_S3_KMS_KEY_ID": "key/1"})
    assert settings.write == {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "key/1"}
    assert settings.read == {}


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        (
            {"SKUTUNE_S3_ENCRYPTION": "kms"},
            "SKUTUNE_S3_ENCRYPTION: 'kms' is unknown; use AES256, aws:kms, aws:kms:dsse",
        ),
        ({"SKUTUNE_S3_KMS_KEY_ID": "k"}, "SKUTUNE_S3_KMS_KEY_ID is set, but SKUTUNE_S3_ENCRYPTION is not set"),
        ({"SKUTUNE_S3_REQUEST_PAYER": "me"}, "SKUTUNE_S3_REQUEST_PAYER: 'me' is unknown"),
        ({"SKUTUNE_S3_CHECKSUM_ALGORITHM": "MD5"}, "SKUTUNE_S3_CHECKSUM_ALGORITHM: 'MD5' is unknown"),
    ],
)
def test_an_unknown_setting_is_refused(environment: dict[str, str], message: str) -> None:
    with pytest.raises(InputError) as caught:
        request_settings(environment)
    assert message in str(caught.value)
