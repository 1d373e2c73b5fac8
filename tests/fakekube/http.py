"""The HTTP side: bodies in, answers out, and nothing of what they mean.

HTTP/1.1 with kept connections over plain sockets, which helm, kubectl and the official client all accept.
"""

from __future__ import annotations

import json
import traceback
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

from . import calls, discovery, operations, protobuf, rbac
from .faults import Faults
from .operations import Answer, Backend
from .problems import ApiError, Object, bad_request, nowhere, unsupported
from .streams import PodLog, Watch


@dataclass
class Server:
    """The listening server and what its requests share."""

    backend: Backend
    faults: Faults
    calls: calls.CallLog = field(default_factory=calls.CallLog)
    port: int = 0
    stopping: bool = False

    def __post_init__(self) -> None:
        handler = type("Handler", (Handler,), {"shared": self})
        self._listener = _Listener(("127.0.0.1", self.port), handler)
        self.url = f"http://127.0.0.1:{self._listener.server_address[1]}"

    def serve(self) -> None:
        self._listener.serve_forever(poll_interval=0.02)

    def stop(self) -> None:
        self.stopping = True
        self._listener.shutdown()
        self._listener.server_close()


class _Listener(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is none of our business; everything else was answered with 500."""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    shared: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    cut_answer = False

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: `Cluster.calls` counts."""

    def respond(self) -> None:
        self.cut_answer = False
        try:
            self.shared.faults.wait_while_paused()
            self._route()
        except ApiError as error:
            headers = {} if error.retry_after_seconds is None else {"Retry-After": str(error.retry_after_seconds)}
            self.send(Answer(error.status(), error.code, headers=headers))
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        except Exception as error:  # noqa: BLE001  a fault of the double: told, and answered as a server would
            traceback.print_exc()
            told = f"Internal error occurred: {type(error).__name__}: {error}"
            self.send(Answer(ApiError(500, "InternalError", told).status(), 500))

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = respond  # noqa: N815  the base class names them

    def _route(self) -> None:
        url = urlsplit(self.path)
        token, path = rbac.split_path(url.path)
        body, steps = self._body(), [unquote(step) for step in path.strip("/").split("/")]
        if (about := self._about(path, steps)) is not None:
            return self.send(about)
        query = {key: values[-1] for key, values in parse_qs(url.query, keep_blank_values=True).items()}
        call = calls.parse(self.command, steps, query, {key.lower(): value for key, value in self.headers.items()})
        call.body = body
        call.user = rbac.user_of(self.headers.get("Authorization"), token)
        self.shared.calls.add(call)
        self.cut_answer = self.shared.faults.meet(call.verb, call.resource.plural, call.name, call.user)
        answer = operations.perform(self.shared.backend, call)
        if isinstance(answer, Watch | PodLog):
            return self._stream(answer)
        return self.send(answer)

    def _about(self, path: str, steps: list[str]) -> Answer | None:
        """Answers that need no rights: health, version and discovery."""
        if path in ("/healthz", "/readyz", "/livez"):
            return Answer(b"ok", content_type="text/plain")
        if path == "/version":
            return Answer(discovery.version())
        if steps[:2] == ["openapi", "v3"]:
            return Answer(discovery.openapi(steps[2:]))
        if path in ("/api", "/apis"):
            accepted = self.headers.get("Accept", "")
            if "as=APIGroupDiscoveryList" in accepted and "v=v2" in accepted:
                return Answer(discovery.aggregated(path == "/api"), content_type=discovery.AGGREGATED)
            return Answer(discovery.listed_groups(path == "/api"))
        if steps[0] == "apis" and len(steps) == 2:
            return Answer(discovery.one_group(steps[1]))
        if (steps[0], len(steps)) in (("api", 2), ("apis", 3)):
            return Answer(discovery.group_resources("" if steps[0] == "api" else steps[1], steps[-1]))
        if steps[0] not in ("api", "apis"):
            raise nowhere()
        return None

    def _body(self) -> Object | list[Object] | None:
        raw = self._raw_body()
        if not raw:
            return None
        if raw.startswith(protobuf.MAGIC):
            return protobuf.decode(raw)
        content_type = self.headers.get("Content-Type", "")
        if "protobuf" in content_type or "cbor" in content_type:
            raise unsupported(f"{content_type} is not read here")
        try:
            loaded = yaml.safe_load(raw) if "yaml" in content_type and raw[:1] != b"{" else json.loads(raw)
        except (ValueError, yaml.YAMLError) as error:
            raise bad_request(f"the object provided is unrecognized: {error}") from error
        if not isinstance(loaded, dict | list):
            raise bad_request("the object provided is unrecognized: it is no object")
        return loaded

    def _raw_body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def send(self, answer: Answer) -> None:
        """One whole answer; half of it where a test ordered a cut."""
        data = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        self.send_response(answer.code)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(data)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        for warning in answer.warnings:
            self.send_header("Warning", f"299 - {json.dumps(warning)}")
        self.end_headers()
        if self.cut_answer:
            self.wfile.write(data[: len(data) // 2])
            raise ConnectionResetError
        self.wfile.write(data)

    def _stream(self, stream: Watch | PodLog) -> None:
        """Chunks as they come. A stream that raises ConnectionResetError is cut without its last chunk."""
        self.send_response(200)
        self.send_header("Content-Type", stream.content_type)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for data in stream.chunks(lambda: self.shared.stopping):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.write(b"0\r\n\r\n")
