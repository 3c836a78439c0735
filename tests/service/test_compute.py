"""LocalCompute: processes on the loopback only, and none left, whichever way their parent goes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

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


def workers(compute: LocalCompute) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):  # one of them has just ended
        found = psutil.Process(compute.pids["workers"]).children()
        return [process for process in found if "spawn_main" in " ".join(process.cmdline())]
    return []


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


def test_workers_that_lived_for_long_are_started_again_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[float] = []

    def launch(self: LocalCompute, name: str, options: list[str]) -> None:
        self._children[name] = subprocess.Popen(["sleep", "60"], start_new_session=True)
        if name == "workers":
            started.append(time.monotonic())

    monkeypatch.setattr(LocalCompute, "_launch", launch)
    monkeypatch.setattr("service.compute._LOOK", 0.01)
    monkeypatch.setattr("service.compute._STEADY", 0.05)

    def until_started(count: int) -> None:
        deadline = time.monotonic() + 5
        while len(started) < count:
            assert time.monotonic() < deadline, f"start {count} did not come"
            time.sleep(0.005)

    with LocalCompute(1, tmp_path) as compute:
        for n in range(1, 15):
            until_started(n)
            time.sleep(0.1)
            os.kill(compute.pids["workers"], signal.SIGKILL)
        monkeypatch.setattr("service.compute._STEADY", 1000.0)
        for n in range(15, 18):
            until_started(n)
            os.kill(compute.pids["workers"], signal.SIGKILL)
        until_started(18)
    pauses = [later - earlier for earlier, later in pairwise(started)]
    assert max(pauses[:14]) < 1
    assert pauses[16] >= 0.4, "who ends again and again waits longer each time"


@pytest.mark.slow
def test_a_worker_that_never_comes_is_not_missed_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dask's nanny gives it up and closes, and the process of all nannies would live on with the others."""
    monkeypatch.setattr("service.compute._START", 15)
    with LocalCompute(2, tmp_path) as compute:
        log = tmp_path / "logs" / "workers.log"
        deadline = time.monotonic() + 60
        while not log.exists() or log.read_text().count("Registered to:") < 2:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        time.sleep(1)  # their nannies know it, too
        group = compute.pids["workers"]
        victim = workers(compute)[0]
        victim.kill()
        deadline = time.monotonic() + 20
        while len(fresh := [p for p in workers(compute) if p.create_time() > victim.create_time() + 2]) < 1:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        fresh[0].suspend()
        deadline = time.monotonic() + 60
        while compute.pids["workers"] == group:
            assert time.monotonic() < deadline, "the nanny has given up and nobody noticed"
            time.sleep(0.1)
        while len(workers(compute)) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_a_log_does_not_grow_for_ever(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "scheduler.log"
    log.parent.mkdir()
    log.write_bytes(b"x" * (9 << 20))
    with LocalCompute(1, tmp_path) as compute:
        until_workers(compute, 1)
        assert log.stat().st_size < 1 << 20


def test_what_opens_the_database_or_signs_messages_is_not_handed_to_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAULIER_WEBHOOK_SECRET", "whsec_c2VjcmV0")
    monkeypatch.setenv("HAULIER_DATABASE_URL", "postgresql://me:pass@db/jobs")
    monkeypatch.setenv("HAULIER_WORKERS", "1")
    with LocalCompute(1, tmp_path) as compute:
        until_workers(compute, 1)
        for process in family(compute):
            names = {name for name in process.environ() if name.startswith("HAULIER_")}
            assert names == {"HAULIER_WORKERS"}
