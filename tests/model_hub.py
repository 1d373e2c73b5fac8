"""A model hub on this machine that speaks the real hub's protocol, over one model at one commit."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """One model with files, `owner/model`.

    `status`, where it is set, is the answer to every request; with `cut` bodies end in their middle; files in `held`
    are not sent before their event. `asked` lists the paths of all requests, `sent` the files that were sent whole.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.status = 0
        self.cut = False
        self.held: dict[str, threading.Event] = {}
        self.asked: list[str] = []
        self.sent: list[str] = []

    def answer(self, path: str) -> tuple[int, bytes]:
        if self.status:
            return self.status, b"{}"
        if path == "/api/models/owner/model/revision/main":
            return 200, json.dumps({"id": "owner/model", "sha": COMMIT}).encode()
        if path == f"/api/models/owner/model/tree/{COMMIT}":
            return 200, json.dumps([self.listed(name) for name in self.files]).encode()
        return 200, self.files[path.removeprefix(f"/owner/model/resolve/{COMMIT}/")]

    def listed(self, name: str) -> dict[str, object]:
        return {"type": "file", "path": name, "size": len(self.files[name]), "oid": name}


@contextmanager
def serving(hub: Hub) -> Iterator[str]:
    """Run a hub; yields its endpoint."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            hub.asked.append(path)
            status, body = hub.answer(path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", f'"{path.rpartition("/")[2]}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.end_headers()
            if self.command != "HEAD":
                self.send_body(path.partition(f"/resolve/{COMMIT}/")[2], body)

        def send_body(self, name: str, body: bytes) -> None:
            middle = len(body) // 2
            self.wfile.write(body[:middle])
            if hub.cut:
                return
            if name in hub.held:
                hub.held[name].wait()
            self.wfile.write(body[middle:])
            hub.sent.append(name)

        do_HEAD = do_GET  # noqa: N815 - named by http.server

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
