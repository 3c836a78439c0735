"""A server on a real socket that answers what a test tells it to, in the shapes of the contract."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

JOB = "01kavtestjob0000000000000"
Answer = tuple[int, dict[str, str], bytes]


def document(status: str = "running", **changes: Any) -> dict[str, Any]:
    """A job document as the contract writes it."""
    return {
        "id": JOB,
        "kind": "report",
        "type": "yearly-sales",
        "parameters": {"year": 2023},
        "status": status,
        "progress": 0,
        "units": {"done": 0, "total": None, "kind": "rows"},
        "phase": "planning",
        "created": "2026-11-24T04:00:00Z",
        "eta": None,
        "queue": None,
        "result": None,
        "error": None,
        **changes,
    }


def done(data: bytes, media_type: str = "application/vnd.apache.parquet", **changes: Any) -> dict[str, Any]:
    result = {
        "href": f"/api/reports/{JOB}/download",
        "mediaType": media_type,
        "bytes": len(data),
        "rows": 2,
        "sha256": hashlib.sha256(data).hexdigest(),
        "expires": None,
    }
    return document(
        "successful",
        progress=100,
        units={"done": 9, "total": 9, "kind": "rows"},
        started="2026-11-24T04:00:00Z",
        finished="2026-11-24T04:00:02.500000Z",
        **{"result": result, **changes},
    )


class Script:
    """What the server answers: one function a request, in turn, then `fallback`."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.answers: list[Callable[..., Answer | None]] = []
        self.fallback: Callable[..., Answer | None] = lambda *_: (404, {}, b"{}")

    def then(self, status: int, body: Any = None, /, **headers: str) -> Script:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers.append(lambda *_: (status, names, data))
        return self

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer | None:
        self.requests.append((method, path, headers, body))
        chosen = self.answers.pop(0) if self.answers else self.fallback
        return chosen(method, path, headers)

    @property
    def paths(self) -> list[str]:
        return [f"{method} {path}" for method, path, _, _ in self.requests]


def serve(script: Script, port: int = 0) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            answer = script.answer(self.command, self.path, dict(self.headers), body)
            if answer is None:  # hang up without a word
                self.close_connection = True
                return
            status, headers, data = answer
            self.send_response(status)
            for name, value in {"Content-Length": str(len(data)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)
            self.close_connection = int(headers.get("Content-Length", len(data))) != len(data)

        do_GET = do_POST = _any

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server


def accepted(script: Script) -> Script:
    return script.then(202, {"id": JOB, "status": "NotStarted"}).then(200, document("accepted"), ETag='W/"1"')
