"""A real server as a process, and the few HTTP calls that tests and benchmarks make of it. Loopback only."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

HAULIER = str(Path(sys.executable).with_name("haulier"))
MiB = 1 << 20


@dataclass
class Server:
    """A running `haulier serve` with a home of its own."""

    url: str
    home: Path
    process: subprocess.Popen[bytes]

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, str], Any]:
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(
            self.url + path, data, {"Content-Type": "application/json"}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=120) as response:
                return response.status, dict(response.headers), json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, dict(error.headers), json.load(error)

    def submit(self, path: str, body: Any) -> str:
        status, _, answer = self.call("POST", path, body)
        assert status == 202, answer
        return str(answer["id"])

    def watch(self, job: str, every: float = 0.05) -> list[dict[str, Any]]:
        """Poll the job until it ends; the distinct documents seen, the last one ended."""
        seen: list[dict[str, Any]] = []
        while True:
            document = self.call("GET", f"/api/jobs/{job}")[2]
            if not seen or (document["progress"], document["eta"]) != (seen[-1]["progress"], seen[-1]["eta"]):
                seen.append(document)
            if document["status"] in ("successful", "failed", "dismissed"):
                if document["status"] != "successful":
                    raise RuntimeError(f"job ended {document['status']}: {document['error']}")
                return [*seen, document]
            time.sleep(every)

    def workers(self) -> list[psutil.Process]:
        """The Dask worker processes that compute (children of a nanny), not the nanny or the scheduler."""
        found = []
        for process in psutil.Process(self.process.pid).children(recursive=True):
            parent = process.parent()
            if (
                parent
                and "dask" in " ".join(parent.cmdline())
                and "spawn_main" in " ".join(process.cmdline())
            ):
                found.append(process)
        return found

    def wait_for_workers(self, count: int) -> None:
        deadline = time.monotonic() + 120
        while (self.call("GET", "/readyz")[2].get("workers") or 0) < count:
            assert time.monotonic() < deadline, "the workers did not come"
            time.sleep(0.1)


def peak_bytes(process: psutil.Process) -> int:
    """The highest resident size the process ever had, as the kernel kept it."""
    text = Path(f"/proc/{process.pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("VmHWM"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def server(workers: int, input_folder: Path | None = None, home: Path | None = None) -> Iterator[Server]:
    """Start a server, hand it over as soon as it answers (workers may still be starting), end it."""
    with tempfile.TemporaryDirectory() as folder:
        home = home or Path(folder)
        url = f"http://127.0.0.1:{(port := free_port())}"
        env = {**os.environ, "HAULIER_HOME": str(home), "HAULIER_WORKERS": str(workers)}
        if input_folder:
            env["HAULIER_INPUT_FOLDERS"] = str(input_folder)
        log = (home / "server.log").open("wb")
        process = subprocess.Popen([HAULIER, "serve", "--port", str(port)], env=env, stdout=log, stderr=log)
        try:
            running = Server(url, home, process)
            wait_until_it_answers(running)
            yield running
        finally:
            process.terminate()
            process.wait(30)
            log.close()


def wait_until_it_answers(running: Server) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            running.call("GET", "/healthz")
            return
        except OSError:
            assert running.process.poll() is None, "the server did not start"
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.02)
