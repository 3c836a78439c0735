"""Real processes that tests may kill, stop and wake: each with its own log, each known by its pid."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import psutil

MARK = "FAULTS_SITE"  # in the environment of all that a site starts, and so of all that those start


class Node:
    """One command. `supervised` starts it again on any exit, as an operator's supervisor would."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        env: Mapping[str, str],
        logs: Path,
        *,
        supervised: bool = False,
    ) -> None:
        self.name, self.log = name, logs / f"{name}.log"
        self.env = dict(env)
        self.starts = 0
        self._command, self._supervised = list(command), supervised
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._wanted = threading.Event()
        self._ended = threading.Event()
        if supervised:
            self._thread = threading.Thread(target=self._supervise, name=f"supervise-{name}", daemon=True)
            self._thread.start()

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} was not started"
        return self._process.pid

    @property
    def code(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return None if self._process is None else self._process.poll()

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, **env: str) -> Node:
        """Run it (again). `env` holds for this start only."""
        with self._lock:
            if not self.alive:
                self._spawn(env)
            self._wanted.set()
        return self

    def family(self) -> list[psutil.Process]:
        """The process and all below it."""
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.pid)
            return [process, *process.children(recursive=True)]
        return []

    def signal(self, number: int) -> None:
        if self.alive:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """kill -9, this process only; a supervised one comes back by itself."""
        self.signal(signal.SIGKILL)
        self.wait(10)

    def stop(self) -> None:
        self.signal(signal.SIGSTOP)

    def wake(self) -> None:
        self.signal(signal.SIGCONT)

    def wait(self, seconds: float) -> int | None:
        """The exit code once it has ended; TimeoutExpired after the given time."""
        process = self._process
        return None if process is None else process.wait(seconds)

    def leave(self) -> None:
        """Not wanted any more: killed with all below it."""
        self._wanted.clear()
        self._ended.set()
        end(self.family())
        if self._process is not None:
            self._process.wait(10)
        if self._supervised:
            self._thread.join(10)
            end(self.family())
            if self._process is not None:
                self._process.wait(10)

    def rest(self) -> None:
        """Stay down until started again, also a supervised one."""
        self._wanted.clear()
        self.kill()

    def text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def _spawn(self, env: Mapping[str, str]) -> None:
        self.starts += 1
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env={**self.env, **env}, stdout=log, stderr=log, start_new_session=True
            )

    def _supervise(self) -> None:
        while not self._ended.is_set():
            if self._wanted.wait(0.1):
                with self._lock:
                    if self._wanted.is_set() and not self.alive and not self._ended.is_set():
                        self._spawn({})
                self._ended.wait(0.1)


def end(processes: Iterable[psutil.Process]) -> None:
    """SIGKILL, also for stopped ones; returns when they are gone (or are somebody's zombies)."""
    found = list(processes)
    for process in found:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    deadline = time.monotonic() + 10
    while any(is_running(process) for process in found) and time.monotonic() < deadline:
        time.sleep(0.02)


def is_running(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def marked(mark: str) -> list[psutil.Process]:
    """Every process that carries the mark of a site in its environment."""
    found, wanted = [], f"{MARK}={mark}"
    for pid in psutil.pids():
        with contextlib.suppress(psutil.Error, OSError):
            if wanted in Path(f"/proc/{pid}/environ").read_text(errors="replace").split("\0"):
                process = psutil.Process(pid)
                if is_running(process):
                    found.append(process)
    return found


def eventually(what: str, wanted: Callable[[], object], seconds: float = 30.0, every: float = 0.05) -> None:
    """Wait until it is true; AssertionError names what did not come."""
    deadline = time.monotonic() + seconds
    while not wanted():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(every)
