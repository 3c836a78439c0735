"""A client that writes down every call and what came of it: ok (answered), fail (never sent), info (unknown).

An unknown submission may or may not have happened; only repeating it with the same Idempotency-Key tells.
Times are this machine's monotonic clock, which the execution log uses too.
"""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

ENDED = ("successful", "failed", "dismissed")


@dataclass(frozen=True)
class Call:
    """One call. `type` is ok | fail | info; `status`, `headers` (lower case) and `answer` are set for ok."""

    op: str  # submit | cancel | job | download
    type: str
    began: float
    ended: float
    job: str | None = None
    key: str | None = None
    body: Any = None
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    answer: Any = None
    error: str = ""


class History:
    """Append-only; any thread."""

    def __init__(self) -> None:
        self._calls: list[Call] = []
        self._lock = threading.Lock()

    def add(self, call: Call) -> Call:
        with self._lock:
            self._calls.append(call)
        return call

    def calls(self, op: str | None = None) -> list[Call]:
        with self._lock:
            return [call for call in self._calls if op in (None, call.op)]


class NeverAnswered(Exception):
    """No answer within the time a test gives."""


class Client:
    """Calls one of the addresses, another at each repetition. Thread-safe."""

    def __init__(
        self, urls: Callable[[], Sequence[str]], history: History | None = None, timeout: float = 15.0
    ) -> None:
        self.history = history or History()
        self._urls, self._timeout = urls, timeout

    def call(
        self,
        op: str,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
        job: str | None = None,
        key: str | None = None,
    ) -> Call:
        """One attempt, whatever comes of it."""
        began, sent = time.monotonic(), False
        named = {"Content-Type": "application/json", **(headers or {})}
        if key is not None:
            named["Idempotency-Key"] = key
        payload = data if data is not None else None if body is None else json.dumps(body).encode()
        url = urlsplit(random.choice(self._urls()))
        connection = http.client.HTTPConnection(str(url.hostname), url.port, timeout=self._timeout)
        more: dict[str, Any]
        try:
            connection.connect()
            sent = True
            connection.request(method, path, payload, named)
            response = connection.getresponse()
            raw = response.read()
            is_json = "json" in response.headers.get("Content-Type", "") and op != "download"
            answer = json.loads(raw) if is_json and raw else raw
            kind = "ok"
            named = {name.lower(): value for name, value in response.headers.items()}
            more = {"status": response.status, "headers": named, "answer": answer}
        except (OSError, http.client.HTTPException, ValueError) as error:
            kind, more = ("info" if sent else "fail"), {"error": f"{type(error).__name__}: {error}"}
        finally:
            connection.close()
        call = Call(op, kind, began, time.monotonic(), job, key, body, **more)
        return self.history.add(call)

    def persist(self, seconds: float, once: Callable[[], Call], pause: float = 0.2) -> Call:
        """Repeat until there is an answer that is not 5xx; only for what may be repeated."""
        deadline = time.monotonic() + seconds
        while True:
            call = once()
            if call.type == "ok" and call.status < 500:
                return call
            if time.monotonic() > deadline:
                raise NeverAnswered(f"{call.op} {call.job or ''}: {call.status} {call.error or call.answer}")
            time.sleep(pause)

    # --- what users do

    def submit_once(self, body: Any, key: str | None = None, priority: str = "interactive") -> Call:
        headers = {"Haulier-Priority": priority}
        return self.call("submit", "POST", "/api/reports", body, headers=headers, key=key)

    def submit(self, body: Any, *, key: str | None = None, seconds: float = 60.0, **more: Any) -> str:
        """A job, for certain: repeated under one key until it is accepted."""
        key = key or uuid.uuid4().hex
        call = self.persist(seconds, lambda: self.submit_once(body, key, **more))
        assert call.status == 202, call
        return str(call.answer["id"])

    def import_file(self, dataset: str, name: str, data: bytes, *, options: Any = None) -> str:
        key = uuid.uuid4().hex
        headers = {"Content-Type": "application/octet-stream"}
        if options is not None:
            headers["Haulier-Options"] = json.dumps(options)
        path = f"/api/imports?dataset={dataset}&filename={name}"
        call = self.persist(
            60, lambda: self.call("submit", "POST", path, headers=headers, data=data, key=key)
        )
        assert call.status == 202, call
        return str(call.answer["id"])

    def job(self, job: str, seconds: float = 30.0) -> dict[str, Any]:
        call = self.persist(seconds, lambda: self.call("job", "GET", f"/api/jobs/{job}", job=job))
        assert call.status == 200, call
        document: dict[str, Any] = call.answer
        return document

    def cancel(self, job: str, seconds: float = 30.0) -> Call:
        return self.persist(seconds, lambda: self.call("cancel", "POST", f"/api/jobs/{job}/cancel", job=job))

    def download(self, job: str, kind: str = "report", headers: Mapping[str, str] | None = None) -> Call:
        path = f"/api/{kind}s/{job}/download"
        return self.call("download", "GET", path, headers=headers, job=job)

    def wait(self, job: str, seconds: float = 60.0, every: float = 0.1) -> dict[str, Any]:
        """The document of the ended job."""
        return self.until(job, lambda document: document["status"] in ENDED, seconds, every)

    def until(
        self, job: str, wanted: Callable[[dict[str, Any]], bool], seconds: float = 60.0, every: float = 0.05
    ) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while not wanted(document := self.job(job, seconds)):
            if time.monotonic() > deadline or document["status"] in ENDED:
                shown = {k: document[k] for k in ("status", "phase", "message", "units", "attempt", "error")}
                raise NeverAnswered(f"job {job} after {seconds} s: {shown}")
            time.sleep(every)
        return document
