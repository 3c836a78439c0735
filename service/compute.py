"""LocalCompute: a Dask scheduler and its workers as processes of our own, on the loopback only.

One thread starts them, watches them and starts them again on any exit, rc 0 included: a worker that lost its
scheduler never reconnects, so both are replaced together. Run as `python -m service.compute` this module is
the child: Dask's own command with our configuration, gone as soon as its parent is.

What the processes compute is not known here; how to talk to them is `service.cluster`'s business.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from service.settings import without_secrets

_HOST = "127.0.0.1"
_LOG_BYTES = 8 << 20  # a log longer than this begins anew
_STEADY = 20.0  # seconds a process must have lived for its next end to be restarted at once
_BACK_OFF = 10.0  # seconds between restarts at most
# Dask has freed memory returned at once, so every array costs page faults. Keeping some halved CPU time of
# reports, for some 200 MiB more a worker (seen on 5 million rows, runs interleaved).
MALLOC = {"MALLOC_TRIM_THRESHOLD_": 128 << 20, "MALLOC_MMAP_THRESHOLD_": 32 << 20}
_LOOK = 0.1  # seconds between two looks at the processes
_START = 60  # seconds a worker may take to start and to find its scheduler
_CONFIG: dict[str, Any] = {
    "distributed.scheduler.worker-ttl": "60s",  # a frozen worker is given up after this, not after 5 minutes
    "distributed.scheduler.allowed-failures": 1,  # two deaths under one task are one strike against its job
    **{f"distributed.nanny.pre-spawn-environ.{name}": value for name, value in MALLOC.items()},
    "logging": {"distributed.worker": "warning"},  # else every census is a line in the scheduler's log
}


_watches: list[asyncio.Task[None]] = []  # of a process of nannies; nobody else refers to them


class LocalCompute:
    """`workers` processes of one thread each. `memory` is the share of the machine they may use together.

    `address` is what an operator gives to `dask worker` to add more. `python_path` is put before theirs.
    """

    def __init__(
        self, workers: int, home: Path, *, memory: float = 0.8, python_path: Sequence[Path | str] = ()
    ) -> None:
        self._workers, self._memory = max(1, workers), memory
        self._logs, self._scratch = home / "logs", home / "dask"
        self._python_path = [str(path) for path in python_path]
        self._port = _free_port()
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._supervise, name="haulier-compute", daemon=True)

    @property
    def address(self) -> str:
        return f"tcp://{_HOST}:{self._port}"

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of the running "scheduler" and "workers" (the parent of the worker processes)."""
        return {name: child.pid for name, child in list(self._children.items())}

    def start(self) -> None:
        """Begin; returns at once, the processes need some seconds."""
        self._logs.mkdir(parents=True, exist_ok=True)
        if self._thread.ident is None:  # an engine starts what it is given, started or not
            self._thread.start()

    def close(self) -> None:
        """End every process; none is left when this returns."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(10)
        shutil.rmtree(self._scratch, ignore_errors=True)

    def __enter__(self) -> LocalCompute:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _supervise(self) -> None:
        """Only this thread starts children: the kernel ties their lives to it (`setpriv`)."""
        failures = 0
        try:
            while not self._closing.is_set():
                started = time.monotonic()
                with contextlib.suppress(OSError):  # no memory, no process: try again like any failure
                    self._spawn()
                    self._watch()
                self._end()
                failures = _failures(failures, started)
                if failures > 3:  # perhaps somebody took the port
                    self._port = _free_port()
                self._closing.wait(_pause(failures))
        finally:
            self._end()

    def _watch(self) -> None:
        """Return when the scheduler has ended; restart workers alone as long as it lives."""
        failures, started = 0, time.monotonic()
        while not self._closing.wait(_LOOK):
            if self._children["scheduler"].poll() is not None:
                return
            if self._children["workers"].poll() is not None:
                failures = _failures(failures, started)
                _kill_group(self._children["workers"])
                if self._closing.wait(_pause(failures)):
                    return
                self._spawn_workers()
                started = time.monotonic()
            self._bound_logs()

    def _spawn(self) -> None:
        scheduler = ["--host", _HOST, "--port", str(self._port), "--dashboard-address", f"{_HOST}:0"]
        self._launch("scheduler", scheduler)
        self._spawn_workers()

    def _spawn_workers(self) -> None:
        options = ["--host", _HOST, "--dashboard-address", f"{_HOST}:0", "--nanny", "--nthreads", "1"]
        options += ["--nworkers", str(self._workers), "--memory-limit", f"{self._memory / self._workers:.3f}"]
        options += ["--death-timeout", str(_START), "--local-directory", str(self._scratch)]
        options += ["--preload", "service.compute", "--preload-nanny", "service.compute"]
        self._launch("workers", [self.address, *options])

    def _launch(self, name: str, options: list[str]) -> None:
        command = f"dask-{name.removesuffix('s')}"
        call = [
            sys.executable,
            "-P",
            "-m",
            "service.compute",
            json.dumps(self._python_path),
            command,
            *options,
        ]
        if setpriv := shutil.which("setpriv"):  # the kernel's own guard; the pipe below guards elsewhere
            call = [setpriv, "--pdeathsig", "KILL", *call]
        with self._log(name).open("ab") as log:
            self._children[name] = subprocess.Popen(
                call,
                env=without_secrets(),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _end(self) -> None:
        for child in self._children.values():
            _kill_group(child)

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def _bound_logs(self) -> None:
        for name in self._children:
            path = self._log(name)
            if path.exists() and path.stat().st_size > _LOG_BYTES:
                os.truncate(path, 0)  # they append, so the next line is the first


def _failures(before: int, started: float) -> int:
    """Ends in quick succession so far: one that has lived long enough begins a new count."""
    return 0 if time.monotonic() - started > _STEADY else before + 1


def _pause(failures: int) -> float:
    """Seconds to wait before a restart; none after a first end."""
    return min(_BACK_OFF, 0.1 * 2**failures) if failures > 1 else 0.0


def _kill_group(child: subprocess.Popen[bytes]) -> None:
    """End a child and all it started. Killing is right: nothing on a worker is not in the database too."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)  # leader of its own session, hence of a group
    child.wait()
    if child.stdin is not None:
        child.stdin.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])


def _leave_with(parent: int) -> None:
    """End this process when the parent's end of a pipe closes, however the parent went."""
    os.read(parent, 1)  # nothing is ever written; a buffered reader would be in the way of an orderly exit
    os._exit(1)


async def dask_setup(server: Any) -> None:
    """Called by Dask in each nanny, and in each worker process before it offers itself."""
    from distributed import Nanny

    if isinstance(server, Nanny):
        _watches.append(asyncio.create_task(_leave_without_worker(server)))
        return
    with contextlib.suppress(ImportError):  # then the tasks that need it say so
        import pipelines.registry  # noqa: F401  # the first job finds all imported


async def _leave_without_worker(nanny: Any) -> None:
    """End all nannies of this process when one has no worker any more: they are started again together.

    A nanny gives up for good when its worker dies while it starts, and the process would live on for the
    others, with a worker less.
    """
    seen = time.monotonic()
    while time.monotonic() - seen < _STEADY and nanny.status.name not in ("closed", "failed"):
        if nanny.process is not None and nanny.process.is_alive():
            seen = time.monotonic()
        await asyncio.sleep(_LOOK)
    os._exit(1)


def main(arguments: list[str]) -> None:
    """The child: `[python path as JSON, dask-scheduler | dask-worker, options...]`."""
    threading.Thread(target=_leave_with, args=(sys.stdin.fileno(),), daemon=True).start()
    sys.path[:0] = json.loads(arguments[0])
    import dask.config

    dask.config.set(_CONFIG)
    if arguments[1] == "dask-scheduler":
        from distributed.cli.dask_scheduler import main as command
    else:
        from distributed.cli.dask_worker import main as command
    command(arguments[2:], prog_name=arguments[1])


if __name__ == "__main__":
    main(sys.argv[1:])
