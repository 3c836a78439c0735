"""Clients people have, as they are sold, against `haulier serve`: azure-core's pollers, curl."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from azure.core import AsyncPipelineClient, PipelineClient
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline.transport import AsyncioRequestsTransport
from azure.core.polling import AsyncLROPoller, LROPoller
from azure.core.polling.async_base_polling import AsyncLROBasePolling
from azure.core.polling.base_polling import LocationPolling, LROBasePolling
from azure.core.rest import HttpRequest

from tests.live import Server, server

SALES = "ordered_at,quantity,unit_price\n2023-01-05 10:00:00,2,10.50\n2023-03-01 00:00:00,3,2.00\n"
COLUMNS = {"ordered_at": {"type": "timestamp"}}
EXPECTED = b"month,orders,units,revenue\r\n2023-01,1,2,21.00\r\n2023-03,1,3,6.00\r\n"
CURL = shutil.which("curl") or ""


class Asking:
    """Questions nobody asked before: an equal one would be answered at once."""

    def __init__(self, live: Server) -> None:
        self.live, self._count = live, 0

    def report(self) -> dict[str, Any]:
        self._count += 1
        amount = f"quantity * unit_price + {self._count} - {self._count}"
        return {"reportType": "yearly-sales", "parameters": {"year": "2023", "amount": amount}}

    def submit(self) -> str:
        return self.live.submit("/api/reports", self.report())

    def request(self) -> HttpRequest:
        return HttpRequest("POST", f"{self.live.url}/api/reports", json=self.report())


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asking]:
    folder = tmp_path_factory.mktemp("input")
    (folder / "sales.csv").write_text(SALES)
    (folder / "bad.csv").write_text(SALES + "soon,1,1\n")
    with server(1, input_folder=folder) as live:
        live.wait_for_workers(1)
        live.watch(live.submit("/api/imports", {"dataset": "sales", "source": "sales.csv"}))
        yield Asking(live)


@pytest.fixture
def client(asking: Asking) -> Iterator[PipelineClient[Any, Any]]:
    with PipelineClient[Any, Any](asking.live.url) as found:
        yield found


@pytest.fixture
def stopped(asking: Asking) -> Iterator[Callable[[], None]]:
    """The one worker does nothing until this is called, or the test is over."""
    deadline = time.monotonic() + 60
    while not (workers := asking.live.workers()):  # one that was told to end may just be replaced
        assert time.monotonic() < deadline
        time.sleep(0.1)

    def resume() -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            workers[0].resume()

    workers[0].suspend()
    yield resume
    resume()


def body_of(response: Any) -> Any:
    return response.http_response.json()


def poller(client: PipelineClient[Any, Any], request: HttpRequest) -> LROPoller[Any]:
    first = client.send_request(request, _return_pipeline_response=True)
    return LROPoller(client, first, body_of, LROBasePolling(timeout=0.1))


def fetched(asking: Asking, manifest: Any) -> bytes:
    with urllib.request.urlopen(asking.live.url + manifest["outputs"]["report"]["href"]) as answer:
        return bytes(answer.read())


# --- azure-core


def test_lro_poller_ends_with_the_manifest(asking: Asking, client: PipelineClient[Any, Any]) -> None:
    following = poller(client, asking.request())
    manifest = following.result(60)
    assert following.status() == "Succeeded"
    assert fetched(asking, manifest) == EXPECTED


def test_async_lro_poller_ends_with_the_manifest(asking: Asking) -> None:
    async def follow() -> tuple[str, Any]:
        transport = AsyncioRequestsTransport()
        async with AsyncPipelineClient[Any, Any](asking.live.url, transport=transport) as client:
            first = await client.send_request(asking.request(), _return_pipeline_response=True)
            following = AsyncLROPoller(client, first, body_of, AsyncLROBasePolling(timeout=0.1))
            return await following.result(), following.status()

    manifest, status = asyncio.run(follow())
    assert status == "Succeeded"
    assert fetched(asking, manifest) == EXPECTED


def test_another_process_goes_on_from_a_continuation_token(
    asking: Asking, client: PipelineClient[Any, Any]
) -> None:
    token = poller(client, asking.request()).continuation_token()
    with PipelineClient[Any, Any](asking.live.url) as other:
        again = LROPoller.from_continuation_token(
            LROBasePolling(timeout=0.1), token, client=other, deserialization_callback=body_of
        )
        assert fetched(asking, again.result(60)) == EXPECTED


def test_lro_poller_raises_our_code_and_message_for_a_failure(
    asking: Asking, client: PipelineClient[Any, Any]
) -> None:
    body = {"dataset": "bad", "source": "bad.csv", "options": {"onBadRow": "fail", "columns": COLUMNS}}
    following = poller(client, HttpRequest("POST", f"{asking.live.url}/api/imports", json=body))
    with pytest.raises(HttpResponseError, match=r"\(bad-input\).*Line 4"):
        following.result(60)
    assert following.status() == "Failed"


def test_lro_poller_raises_for_a_canceled_job(
    asking: Asking, client: PipelineClient[Any, Any], stopped: Callable[[], None]
) -> None:
    following = poller(client, asking.request())
    own = asking.live.call("GET", "/api/jobs?limit=1")[2]["jobs"][0]["id"]
    assert asking.live.call("POST", f"/api/jobs/{own}/cancel")[0] in (200, 202)
    with pytest.raises(HttpResponseError, match=r"\(canceled\) The job was canceled"):
        following.result(60)
    assert following.status() == "Canceled"


def test_a_poller_that_knows_only_location_follows_the_monitor(
    asking: Asking, client: PipelineClient[Any, Any], stopped: Callable[[], None]
) -> None:
    own = asking.submit()
    monitor = HttpRequest("GET", f"{asking.live.url}/api/jobs/{own}/monitor")
    first = client.send_request(monitor, _return_pipeline_response=True)
    assert first.http_response.status_code == 202
    polling = LROBasePolling(timeout=0.1, lro_algorithms=[LocationPolling()])
    following = LROPoller(client, first, body_of, polling)
    stopped()
    assert fetched(asking, following.result(60)) == EXPECTED


# --- curl


def curl(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [CURL, "--silent", "--show-error", *arguments], cwd=folder, capture_output=True, text=True, timeout=90
    )


@pytest.mark.skipif(not CURL, reason="there is no curl here")
def test_curl_alone_waits_and_saves_under_the_right_name(
    asking: Asking, stopped: Callable[[], None], tmp_path: Path
) -> None:
    own = asking.submit()
    address = f"{asking.live.url}/api/reports/{own}/download"
    assert curl(tmp_path, "--fail", "-OJ", address).returncode == 22  # 409: not yet
    waits = subprocess.Popen(
        [CURL, "--silent", "--fail", "--retry", "20", "--retry-all-errors", "-OJ", address], cwd=tmp_path
    )
    time.sleep(1.5)
    stopped()
    assert waits.wait(60) == 0
    assert (tmp_path / "yearly-sales-2023.csv").read_bytes() == EXPECTED


@pytest.mark.skipif(not CURL, reason="there is no curl here")
def test_curl_goes_on_where_a_download_was_cut(asking: Asking, tmp_path: Path) -> None:
    own = asking.submit()
    asking.live.watch(own)
    (tmp_path / "half.csv").write_bytes(EXPECTED[:20])
    address = f"{asking.live.url}/api/reports/{own}/download"
    done = curl(tmp_path, "--fail", "-C", "-", "-o", "half.csv", "-D", "head.txt", address)
    assert done.returncode == 0, done.stderr
    assert " 206 " in (tmp_path / "head.txt").read_text().splitlines()[0]
    data = (tmp_path / "half.csv").read_bytes()
    assert (
        hashlib.sha256(data).hexdigest() == asking.live.call("GET", f"/api/jobs/{own}")[2]["result"]["sha256"]
    )


@pytest.mark.skipif(not CURL, reason="there is no curl here")
def test_curl_listens_to_the_events_of_a_job(asking: Asking, tmp_path: Path) -> None:
    own = asking.submit()
    told = curl(tmp_path, "--no-buffer", "--fail", f"{asking.live.url}/api/jobs/{own}/events").stdout
    assert told.rstrip().split("\n\n")[-1].split("\n")[1] == "event: done"
    data = json.loads(told.rstrip().rsplit("data: ", 1)[1])
    assert (data["id"], data["status"]) == (own, "successful")
