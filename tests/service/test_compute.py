"""LocalCompute: processes on the loopback only, and none left, whichever way their parent goes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from service.compute import LocalCompute


def until_workers(compute: LocalCompute, count: int) -> None:
    deadline = time.monotonic() + 60
    while len(family(compute)) < 2 + count:  # scheduler, nursing process, workers
        assert time.monotonic() < deadline
        time.sleep(0.05)


def family(compute: LocalCompute) -> list[psutil.Process]:
    found = []
    for pid in compute.pids.values():
        process = psutil.Process(pid)
        found += [process, *process.children(recursive=True)]
    return [process for process in found if "resource_tracker" not in " ".join(process.cmdline())]


def alive(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Those that still run after so long; one that only waits to be reaped does not."""
    deadline = time.monotonic() + seconds
    while True:
        left = [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.05)


def test_close_leaves_no_process(tmp_path: Path) -> None:
    compute = LocalCompute(2, tmp_path)
    compute.start()
    until_workers(compute, 2)
    processes = family(compute)
    started = time.monotonic()
    compute.close()
    assert time.monotonic() - started < 5
    assert alive(processes, 1) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["logs"]


def test_a_closed_compute_that_never_started_is_no_trouble(tmp_path: Path) -> None:
    LocalCompute(1, tmp_path).close()


def test_everything_listens_on_the_loopback_only(compute: LocalCompute) -> None:
    until_workers(compute, 2)
    time.sleep(1)
    listening = {
        connection.laddr.ip
        for process in family(compute)
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


PARENT = """
import sys, time
from pathlib import Path
from service.compute import LocalCompute
compute = LocalCompute(2, Path(sys.argv[1]))
compute.start()
time.sleep(600)
"""


def test_a_killed_parent_leaves_no_process(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)])
    started = psutil.Process(parent.pid)
    deadline = time.monotonic() + 60
    while len(processes := started.children(recursive=True)) < 4:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(1)
    processes = started.children(recursive=True)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    assert alive(processes, 15) == []


def test_a_log_does_not_grow_for_ever(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "scheduler.log"
    log.parent.mkdir()
    log.write_bytes(b"x" * (9 << 20))
    with LocalCompute(1, tmp_path) as compute:
        until_workers(compute, 1)
        assert log.stat().st_size < 1 << 20
