"""Those who wait while the server is killed or told to leave: each learns the end, and nothing twice."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.faults import toy
from tests.faults.embedded import Embedded
from tests.faults.history import Call
from tests.faults.site import Site

_CLIENTS = 20


class Listener:
    """A browser's EventSource in few lines: comes back with the last id it saw until the job is done."""

    def __init__(self, site: Site, job: str) -> None:
        self._site, self._path = site, f"/api/jobs/{job}/events"
        self.ids: list[int] = []
        self.events: list[str] = []
        self.connections = 0

    def listen(self, seconds: float = 90.0) -> dict[str, Any]:
        """The data of `done`."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                for event in self._connection():
                    if event.get("event") == "done":
                        return dict(json.loads(event["data"]))
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.2)
        raise AssertionError(f"no end after {seconds} s; {self.connections} connections, {self.events}")

    def _connection(self) -> Iterator[dict[str, str]]:
        url = urlsplit(self._site.urls()[0])
        connection = http.client.HTTPConnection(str(url.hostname), url.port, timeout=30)
        try:
            headers = {"Last-Event-ID": str(self.ids[-1])} if self.ids else {}
            connection.request("GET", self._path, headers=headers)
            response = connection.getresponse()
            assert response.status == 200, response.status
            self.connections += 1
            found: dict[str, str] = {}
            for line in response:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name:
                    found[name] = value
                elif "event" in found:
                    if "id" in found:
                        self.ids.append(int(found["id"]))
                        self.events.append(found["event"])
                    yield found
                    found = {}
        finally:
            connection.close()


def poll(site: Site, job: str, began: threading.Semaphore) -> str:
    """A long poll after the other, through every fault, until the job has ended."""

    def ask() -> Call:
        return site.client.call("status", "GET", f"/api/reports/{job}/status?wait=30", job=job)

    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        began.release()
        call = site.client.persist(60, ask)
        if call.answer["status"] != "In Progress":
            return str(call.answer["status"])
    raise AssertionError("no end")


def test_who_waits_when_the_server_is_killed_learns_the_end(embedded: Embedded) -> None:
    """Row 7: 20 streams and 20 long polls; no line of history is missing or comes twice."""
    job = embedded.client.submit(toy.body(parts=6, seconds=0.8))
    embedded.running_part(job)
    listeners = [Listener(embedded, job) for _ in range(_CLIENTS)]
    began = threading.Semaphore(0)
    with ThreadPoolExecutor(2 * _CLIENTS) as clients:
        streams = [clients.submit(each.listen) for each in listeners]
        polls = [clients.submit(poll, embedded, job, began) for _ in range(_CLIENTS)]
        for _ in range(_CLIENTS):
            began.acquire()
        time.sleep(0.5)
        embedded.crash()
        embedded.start()
        ended = [each.result() for each in streams]
        assert {each.result() for each in polls} == {"Complete"}
    assert {each["status"] for each in ended} == {"successful"}
    told = [row for row in embedded.events() if row["job_id"] == job and row["name"] != "foreseen"]
    history = [row["sequence"] for row in told]
    for each in listeners:
        assert each.ids == history
        assert each.connections >= 2  # a server on its way out may have been asked again
        assert each.events[-1] == "done" and "done" not in each.events[:-1]


@pytest.mark.slow
@pytest.mark.faults
def test_those_who_wait_do_not_keep_the_server_from_leaving(embedded: Embedded) -> None:
    """Row 2: SIGTERM while streams and long polls are held."""
    job = embedded.client.submit(toy.body(parts=8, seconds=8.0))
    embedded.running_part(job)
    listeners = [Listener(embedded, job) for _ in range(_CLIENTS)]
    began = threading.Semaphore(0)
    with ThreadPoolExecutor(2 * _CLIENTS) as clients:
        streams = [clients.submit(each.listen) for each in listeners]
        polls = [clients.submit(poll, embedded, job, began) for _ in range(_CLIENTS)]
        for _ in range(_CLIENTS):
            began.acquire()
        time.sleep(0.5)
        seconds = embedded.terminate()
        embedded.start()
        embedded.client.cancel(job)
        assert {each.result()["status"] for each in streams} == {"dismissed"}
        assert {each.result() for each in polls} == {"Canceled"}
    assert seconds < 10
