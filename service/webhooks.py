"""Webhooks: the messages of the outbox as signed CloudEvents, and the threads that send them.

A message is one POST that is a structured CloudEvent (1.0) and carries the signature of Standard Webhooks. It
comes at least once: receivers know a repeated one by its `webhook-id`. Nothing here touches a job.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version

import structlog

from pipelines.plan import Json
from service.errors import Unavailable
from service.model import CallbackEvent, Delivery
from service.outward import NotSent, post
from service.tracker import Outbox

log = structlog.get_logger()

# seconds between attempts, as Standard Webhooks recommends; after the last the message is given up
SCHEDULE = (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
_JITTER = 0.2
_SECONDS = 15.0  # for one attempt
_LEASE = 60.0  # after which another may send what was taken
_THREADS = 4
_OF_A_HOST = 2  # at once: a dead receiver keeps no other waiting
_LOOK = 1.0  # seconds between looks for what others wrote, or what is due again
_GONE = 410  # the receiver wants no more
_WORDS = {
    CallbackEvent.STARTED: "running",
    CallbackEvent.PROGRESS: "running",
    CallbackEvent.SUCCEEDED: "successful",
    CallbackEvent.FAILED: "failed",
    CallbackEvent.CANCELED: "dismissed",
}


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs with each of the secrets: while one takes the place of another, receivers may have either."""

    secrets: tuple[bytes, ...]

    @classmethod
    def of(cls, setting: str) -> Signer:
        """From `whsec_<base64>`, several separated by spaces."""
        return cls(tuple(base64.b64decode(each.removeprefix("whsec_")) for each in setting.split()))

    def headers(self, message: str, at: int, body: bytes) -> dict[str, str]:
        """The three headers of Standard Webhooks; `at` in seconds since 1970."""
        signed = f"{message}.{at}.".encode() + body
        digests = (hmac.new(secret, signed, hashlib.sha256).digest() for secret in self.secrets)
        signatures = " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)
        return {"webhook-id": message, "webhook-timestamp": str(at), "webhook-signature": signatures}


def cloud_event(message: Delivery, base_url: str | None = None) -> Json:
    """The message as a CloudEvent: small, and the same however often it is sent.

    `source` is the job's address, absolute where it is known what clients see.
    """
    job = f"{base_url or ''}/api/jobs/{message.job_id}"
    told: Json = {"id": message.job_id, "kind": message.kind, "type": message.type}
    told["status"] = _WORDS[message.event]
    told |= {name: value for name, value in message.data.items() if name in _SHOWN}
    if message.event is CallbackEvent.FAILED:
        told["error"] = {name: message.data[name] for name in ("code", "detail")}
    if message.event is CallbackEvent.SUCCEEDED:
        told["results"] = f"{job}/results"
    return {
        "specversion": "1.0",
        "id": message.message_id,
        "source": job,
        "type": message.event.value,
        "subject": message.job_id,
        "time": _written(message.created),
        "datacontenttype": "application/json",
        "data": told,
    }


_SHOWN = ("attempt", "phase", "done", "total", "unit", "bytes", "cached")  # of the line of history


class Sender:
    """Threads that send what is due until `stop`. Several processes may: each message is taken by one."""

    def __init__(
        self,
        outbox: Outbox,
        signer: Signer,
        *,
        base_url: str | None = None,
        private: bool = False,
        schedule: Sequence[float] = SCHEDULE,
        seconds: float = _SECONDS,
        lease: float = _LEASE,
    ) -> None:
        self._outbox, self._signer, self._base_url, self._private = outbox, signer, base_url, private
        self._schedule, self._seconds, self._lease = schedule, seconds, lease
        self._busy: Counter[str] = Counter()
        self._taking = threading.Lock()
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, name=f"haulier-webhooks-{number}", daemon=True)
            for number in range(_THREADS)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self, seconds: float = 2.0) -> None:
        """What is being sent is given some seconds; what does not end then is sent again by the next."""
        self._stopping.set()
        self._outbox.posted.set()
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._outbox.posted.clear()
            if not self._guarded(self._send_one):
                self._outbox.posted.wait(_LOOK)

    def _guarded(self, send: Callable[[], bool]) -> bool:
        """False when there is nothing to do, or it failed: then a pause is due."""
        try:
            return send()
        except Unavailable as error:
            if not self._stopping.is_set():
                log.warning("database not reachable", error=str(error))
        except Exception:
            log.exception("webhook failed")
        return False

    def _send_one(self) -> bool:
        message = self._take()
        if message is None:
            return False
        try:
            self._send(message)
        finally:
            with self._taking:
                self._busy[message.host] -= 1
            self._outbox.posted.set()  # what waited for this host may go
        return True

    def _take(self) -> Delivery | None:
        with self._taking:
            full = [host for host, count in self._busy.items() if count >= _OF_A_HOST]
            message = self._outbox.claim(self._lease, full)
            if message is not None:
                self._busy[message.host] += 1
            self._busy = +self._busy  # forget those that have nothing
            return message

    def _send(self, message: Delivery) -> None:
        body = json.dumps(cloud_event(message, self._base_url), ensure_ascii=False).encode()
        now = time.time()  # the wall's: receivers compare it with theirs
        headers = {
            "Content-Type": "application/cloudevents+json; charset=utf-8",
            "User-Agent": f"Haulier/{version('haulier')}",
            **self._signer.headers(message.message_id, int(now), body),
        }
        started, status, detail = time.monotonic(), None, None
        try:
            answer = post(message.url, body, headers, seconds=self._seconds, private=self._private)
            status, detail = answer.status, answer.text or None
        except NotSent as error:
            detail = str(error)
        delivered = status is not None and 200 <= status < 300
        entry = {
            "at": _written(datetime.fromtimestamp(now, UTC)),
            "status": status,
            "seconds": round(time.monotonic() - started, 3),
            "detail": None if delivered else detail,
        }
        again = None if delivered or status == _GONE else self._pause(message.attempts)
        self._outbox.settle(message, entry, delivered=delivered, again_in=again)
        if not delivered:
            told = {"job": message.job_id, "host": message.host, "status": status, "again_in": again}
            log.warning("webhook not delivered", **told)

    def _pause(self, attempts: int) -> float | None:
        """Seconds to the next attempt, None after the last."""
        if attempts > len(self._schedule):
            return None
        return self._schedule[attempts - 1] * (1 + random.uniform(0, _JITTER))


def _written(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
