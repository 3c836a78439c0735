"""The road over HTTP: urllib3, bounded timeouts, retries that are safe, downloads that are checked.

Every submission carries an idempotency key, so a request whose answer was lost is simply sent again. A server
that answered once may be gone for `patience` seconds (a restart) before the client gives up; one that never
answered gets two seconds. Knows the wire and nothing of notebooks; pandas and Arrow never come in here.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, urlencode

import urllib3
from urllib3.exceptions import HTTPError, LocationParseError, NameResolutionError

from pipelines.plan import Json
from service.form import BLOCK, Form
from service.transport import (
    BadDownload,
    DatasetInfo,
    JobStatus,
    Rejected,
    Result,
    Submission,
    Unreachable,
)

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 60.0  # for the first byte of an answer and between two blocks of one
FIRST_CONTACT_SECONDS = 2.0
LONGEST_WAIT = 25.0  # seconds of one long poll
LONGEST_PAUSE = 30.0
_BUSY = frozenset({429, 502, 503, 504})
_HEADER_LIMIT = 4096  # options beyond this travel as a form field: proxies cut long headers


class HttpTransport:
    """A road to the service at `url`."""

    def __init__(self, url: str, *, patience: float = 120.0) -> None:
        self.address = url.rstrip("/")
        self.patience = patience
        self._pool = urllib3.PoolManager(retries=False, num_pools=2)
        self._answered = False
        self._long_poll = True

    def submit_report(self, body: Json, submission: Submission) -> JobStatus:
        headers = {"Content-Type": "application/json", **_headers(submission)}
        data = json.dumps(body).encode()
        answer = self._ask("POST", "/api/reports", headers=headers, body=data)
        return self._submitted(answer)

    def submit_import(
        self, paths: Sequence[Path], dataset: str, options: Json, submission: Submission
    ) -> JobStatus:
        written = json.dumps(options)
        if len(paths) > 1 or len(written) > _HEADER_LIMIT:
            form = Form({"dataset": dataset, "options": written}, paths)
            return self._send_form(form, "/api/imports", submission)
        [path] = paths
        query = urlencode({"dataset": dataset, "filename": path.name})
        headers = {"Content-Type": "application/octet-stream", "Haulier-Options": written}
        headers |= {"Content-Length": str(path.stat().st_size), **_headers(submission)}
        with path.open("rb") as file:
            answer = self._ask("POST", f"/api/imports?{query}", headers=headers, body=file)
        return self._submitted(answer)

    def submit_video(
        self, paths: Sequence[Path], operation: str, parameters: Json, submission: Submission
    ) -> JobStatus:
        form = Form({"operation": operation, "parameters": json.dumps(parameters)}, paths)
        return self._send_form(form, "/api/videos", submission)

    def _send_form(self, form: Form, path: str, submission: Submission) -> JobStatus:
        headers = {"Content-Type": form.content_type, "Content-Length": str(form.size)}
        return self._submitted(self._ask("POST", path, headers=headers | _headers(submission), body=form))

    def status(
        self, job_id: str, *, wait: float = 0.0, seen: JobStatus | None = None, within: float | None = None
    ) -> JobStatus:
        asked = time.monotonic()
        seconds = int(min(wait, LONGEST_WAIT)) if self._long_poll else 0
        headers = {"If-None-Match": seen.tag} if seen and seen.tag else {}
        path = f"/api/jobs/{quote(job_id, safe='')}" + (f"?wait={seconds}" if seconds else "")
        answer = self._ask("GET", path, headers=headers, within=within)
        status = seen if seen and answer.status == 304 else _status(answer)
        took = time.monotonic() - asked
        if status == seen and not status.ended and seconds >= 1 and took < 0.5:
            self._long_poll = False  # this server answers at once whatever we ask: pace ourselves instead
        if wait and not status.ended and not self._long_poll:
            left = max(0.0, (within if within is not None else wait) - took)
            time.sleep(min(_pause(answer, fallback=1.0), wait, left))
        return status

    def jobs(self, *, state: str | None, kind: str | None, limit: int) -> list[JobStatus]:
        page = self.jobs_document(state=state, kind=kind, limit=limit)
        return [JobStatus.from_document(each) for each in page["jobs"]]

    def jobs_document(self, *, state: str | None, kind: str | None, limit: int) -> Json:
        """The jobs as the wire lists them, over as many pages as `limit` asks for."""
        found: list[Json] = []
        cursor: str | None = None
        while len(found) < limit:
            wanted = {"status": state, "kind": kind, "limit": min(limit - len(found), 100), "cursor": cursor}
            query = urlencode({name: value for name, value in wanted.items() if value is not None})
            page = self.document(f"/api/jobs?{query}")
            found += page["jobs"]
            cursor = page.get("cursor")
            if not cursor or not page["jobs"]:
                break
        return {"jobs": found, "cursor": cursor}

    def datasets(self) -> list[DatasetInfo]:
        return [DatasetInfo.from_document(each) for each in self.document("/api/datasets")["datasets"]]

    def cancel(self, job_id: str) -> JobStatus:
        answer = self._ask("POST", f"/api/jobs/{quote(job_id, safe='')}/cancel", headers={}, body=b"")
        return _status(answer)

    def retry(self, job_id: str) -> JobStatus:
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        path = f"/api/jobs/{quote(job_id, safe='')}/retry"
        return self._submitted(self._ask("POST", path, headers=headers, body=b""))

    def document(self, path: str) -> Any:
        """The JSON at a path: what `haulier ... --json` prints."""
        return self._ask("GET", path, headers={}).json()

    def fetch(self, job_id: str, result: Result, sink: IO[bytes]) -> str:
        digest, have = _digest_of(sink), sink.tell()
        if have >= result.bytes:  # nothing left to ask for, and so no name either: take it anew
            digest, have = _emptied(sink)
        name, lost = result.name or "", 0
        while True:
            before = have
            ask = {"Range": f"bytes={have}-", "If-Range": f'"{result.sha256}"'} if have else {}
            answer = self._ask("GET", result.href, headers=ask, stream=True)
            name = _file_name(answer) or name or job_id
            if have and answer.status != 206:  # the server starts again from the first byte
                digest, have = _emptied(sink)
            try:
                while block := answer.read1(BLOCK):  # what has come counts, also when the rest does not
                    sink.write(block)
                    digest.update(block)
                    have += len(block)
            except HTTPError as error:
                lost = 0 if have > before else lost + 1
                if lost > 5:
                    raise BadDownload(
                        f"The download of {job_id} broke off at byte {have}: {error}."
                    ) from error
                continue
            break
        if have != result.bytes or digest.hexdigest() != result.sha256:
            raise BadDownload(
                f"The download of {job_id} has {have} bytes and sha256 {digest.hexdigest()[:12]}…, "
                f"promised were {result.bytes} bytes and {result.sha256[:12]}…; download it again."
            )
        return name

    def close(self) -> None:
        self._pool.clear()

    def _submitted(self, answer: urllib3.BaseHTTPResponse) -> JobStatus:
        return self.status(str(answer.json()["id"]))

    def _ask(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        body: Any = None,
        stream: bool = False,
        within: float | None = None,
    ) -> urllib3.BaseHTTPResponse:
        """One request, sent again while the server is away or busy; raises Rejected for a refusal."""
        began = time.monotonic()
        for attempt in range(1_000_000):
            patience = self.patience if self._answered else FIRST_CONTACT_SECONDS
            left = (patience if within is None else min(patience, within)) - (time.monotonic() - began)
            try:
                answer = self._send(method, path, headers, body, stream, within)
            except LocationParseError as error:
                raise Unreachable(f"{self.address} is not an address; write http://host:port.") from error
            except HTTPError as error:
                pause = _backoff(attempt)
                if pause >= left:
                    raise self._unreachable(error) from error
            else:
                self._answered = True
                if answer.status not in _BUSY:
                    return self._checked(answer)
                pause = _pause(answer, fallback=_backoff(attempt))
                if pause >= left:
                    return self._checked(answer)
                answer.drain_conn()
            time.sleep(pause)
        raise AssertionError("patience ends before the attempts do")

    def _send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: Any,
        stream: bool,
        within: float | None,
    ) -> urllib3.BaseHTTPResponse:
        if hasattr(body, "seek"):
            body.seek(0)
        read = ANSWER_SECONDS if within is None else min(ANSWER_SECONDS, within + 1.0)
        return self._pool.request(
            method,
            path if path.startswith(("http://", "https://")) else self.address + path,
            headers={"Accept": "application/json, */*", **headers},
            body=body,
            preload_content=not stream,
            timeout=urllib3.Timeout(connect=min(CONNECT_SECONDS, read), read=read),
        )

    def _checked(self, answer: urllib3.BaseHTTPResponse) -> urllib3.BaseHTTPResponse:
        if answer.status < 400:
            return answer
        try:
            problem = json.loads(answer.data)
        except ValueError:
            problem = None
        if not isinstance(problem, dict):
            problem = {"title": f"{self.address} answered {answer.status} {answer.reason or ''}."}
        raise Rejected(answer.status, problem)

    def _unreachable(self, error: Exception) -> Unreachable:
        if isinstance(error, NameResolutionError):
            return Unreachable(f"{self.address} has a host that is not known; check its name.")
        refused = "refused" in str(error)
        why = "refused the connection" if refused else f"does not answer ({type(error).__name__})"
        return Unreachable(f"{self.address} {why}; start it with `haulier serve` or give another address.")


def _headers(submission: Submission) -> dict[str, str]:
    headers = {"Idempotency-Key": submission.key}
    return headers | ({"Haulier-Priority": submission.priority} if submission.priority else {})


def _backoff(attempt: int) -> float:
    return float(min(5.0, 0.2 * 2 ** min(attempt, 10)) * random.uniform(0.5, 1.0))


def _pause(answer: urllib3.BaseHTTPResponse, fallback: float) -> float:
    """What Retry-After asks for and up to a tenth more, so that many clients do not come back together."""
    asked = answer.headers.get("Retry-After", "")
    seconds = float(asked) if asked.isdigit() else fallback
    return min(seconds, LONGEST_PAUSE) * random.uniform(1.0, 1.1)


def _digest_of(sink: IO[bytes]) -> Any:
    digest = hashlib.sha256()
    sink.seek(0)
    while block := sink.read(BLOCK):
        digest.update(block)
    return digest


def _emptied(sink: IO[bytes]) -> tuple[Any, int]:
    sink.seek(0)
    sink.truncate()
    return hashlib.sha256(), 0


def _status(answer: urllib3.BaseHTTPResponse) -> JobStatus:
    return JobStatus.from_document(answer.json(), answer.headers.get("ETag", ""))


def _file_name(answer: urllib3.BaseHTTPResponse) -> str:
    """The last part of the name in Content-Disposition; never a path."""
    from email.message import Message

    message = Message()
    message["Content-Disposition"] = answer.headers.get("Content-Disposition", "")
    return Path((message.get_filename() or "").replace("\\", "/")).name
