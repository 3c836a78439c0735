"""The job database: full, restarted, cut off, failing to sync, damaged, in use."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from service.tracker.patience import ANSWER, PATIENCE
from tests.faults import toy
from tests.faults.embedded import Embedded
from tests.faults.history import Call
from tests.faults.processes import end
from tests.faults.proxy import Proxy
from tests.faults.scaled import Scaled
from tests.faults.site import LAUNCH, running
from tests.live import free_port

root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A tmpfs of a few megabytes, and a file in it that fills it on demand."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def fill(folder: Path) -> Path:
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            for size in (1 << 16, 1 << 12, 1):
                try:
                    while True:
                        file.write(b"x" * size)
                except OSError:
                    continue
        except OSError:
            pass
    return filler


@pytest.mark.slow
@pytest.mark.faults
@root
@pytest.mark.needs_root
def test_a_full_disk_under_the_database_is_never_a_202(tmp_path: Path) -> None:
    """Row 25: 503 or 507; running jobs hold; it goes on without a restart once there is space."""
    with small_disk(tmp_path / "disk", "4m") as disk:
        database = disk / "haulier.sqlite"
        with running(lambda: Embedded(HAULIER_DATABASE_URL=f"sqlite:///{database}")) as site:
            site.start()
            site.wait_for_workers()
            job = site.client.submit(toy.body(tag="full", parts=16, seconds=0.3))
            site.running_part(job)
            filler = fill(disk)
            refused = []
            for _ in range(20):
                call = site.client.submit_once(toy.body(tag=uuid.uuid4().hex * 30), uuid.uuid4().hex)
                if call.status != 202:
                    refused.append(call)
                time.sleep(0.05)
            assert refused, "the disk was not full"
            assert {call.status for call in refused} <= {503, 507}, refused[0]
            assert all("retry-after" in call.headers for call in refused if call.status == 503)
            time.sleep(2)
            filler.unlink()
            document = site.client.wait(job)
            assert (document["status"], document["attempt"]) == ("successful", 1)
            assert site.client.wait(site.client.submit(toy.body(tag="space")))["status"] == "successful"
            with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
                assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_a_failed_sync_is_no_success(embedded: Embedded) -> None:
    """Row 26: one fdatasync of the WAL says EIO; that request fails, and nothing pretends."""
    app = embedded.app()
    inject = ["-e", "trace=fsync,fdatasync", "-e", "inject=fdatasync,fsync:error=EIO:when=1"]
    tracer = subprocess.Popen(["strace", "-f", "-qq", "-p", str(app.pid), *inject], stderr=subprocess.DEVNULL)
    try:
        time.sleep(1)
        key = uuid.uuid4().hex
        call = embedded.client.submit_once(toy.body(tag=key), key)
    finally:
        tracer.terminate()
        tracer.wait(10)
    assert call.status in (500, 503), call
    assert embedded.client.wait(embedded.client.submit(toy.body(tag=key), key=key))["status"] == "successful"


def test_postgres_restarted_at_once_loses_nothing(scaled: Scaled) -> None:
    """Row 27: immediate stop and start, then every session ended, under load: 503 meanwhile, nothing lost."""
    stop, answers = threading.Event(), []
    long = scaled.client.submit(toy.body(tag="through", parts=30, seconds=0.3))
    scaled.running_part(long)

    def user(n: int) -> None:
        count = 0
        while not stop.is_set():
            count += 1
            body = toy.body(tag=f"pg{n}-{count}", parts=1, seconds=0.05)
            answers.append(scaled.client.submit_once(body, uuid.uuid4().hex))
            time.sleep(0.1)

    users = [threading.Thread(target=user, args=(n,)) for n in range(3)]
    for each in users:
        each.start()
    try:
        time.sleep(1)
        scaled.postgres.stop(signal.SIGQUIT)
        time.sleep(1.5)
        scaled.postgres.start()
        time.sleep(1)
        scaled.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        time.sleep(1.5)
    finally:
        stop.set()
        for each in users:
            each.join()
    assert {call.status for call in answers} <= {202, 503}, {call.status for call in answers}
    assert any(call.status == 503 for call in answers)
    assert all("retry-after" in call.headers for call in answers if call.status == 503)
    assert answers[-1].status == 202
    document = scaled.client.wait(long)
    assert (document["status"], document["attempt"]) == ("successful", 1)


@pytest.mark.slow
@pytest.mark.faults
def test_a_half_open_database_is_bounded(scaled: Scaled) -> None:
    """Row 28: the connections to PostgreSQL take bytes and answer none: writes and reads say 503 in time.

    Nobody tells that the other side is gone: what passes the bytes on acknowledges them.
    """
    folder = scaled.folder / "pg"
    folder.mkdir()
    path = str(folder / ".s.PGSQL.5432")
    server, port = scaled.servers[1], scaled.urls()[1].rsplit(":", 1)[1]
    end(server.family())  # the process that listens, too: it would answer in place of the next
    server.rest()
    with Proxy(f"{scaled.postgres.folder}/.s.PGSQL.5432", path) as proxy:
        server.start(HAULIER_DATABASE_URL=f"postgresql://haulier@/haulier?host={folder}")
        client = type(scaled.client)(lambda: [f"http://127.0.0.1:{port}"], scaled.history, timeout=90)
        job = client.submit(toy.body(tag="before the hold"))
        proxy.hold()

        def ask(n: int) -> Call:
            if n % 2:
                return client.call("job", "GET", f"/api/jobs/{job}", job=job)
            return client.submit_once(toy.body(tag=f"hold{n}"), uuid.uuid4().hex)

        with ThreadPoolExecutor(40) as users:  # more than there are connections
            answers = list(users.map(ask, range(40)))
        took = [call.ended - call.began for call in answers]
        assert {call.status for call in answers} == {503}, answers
        assert all("retry-after" in call.headers for call in answers)
        assert max(took) < ANSWER + PATIENCE["connect_timeout"] + 5, sorted(took)
        proxy.let_go()
        healed = time.monotonic()
        assert client.submit(toy.body(tag="after the hold"))
        assert client.job(job)
        assert time.monotonic() - healed < 10
        server.rest()


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_every_202_comes_after_its_sync(embedded: Embedded, tmp_path: Path) -> None:
    """Row 30: in the order of system calls, a sync of the WAL lies between each request and its 202."""
    trace = tmp_path / "trace"
    what = "trace=fdatasync,fsync,sendto,write,writev,recvfrom,read"
    command = ["strace", "-f", "-qq", "-s", "40", "-e", what, "-o", str(trace), "-p", str(embedded.app().pid)]
    tracer = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        time.sleep(1)
        for n in range(20):
            embedded.client.submit(toy.body(tag=f"order{n}", parts=1, seconds=0))
    finally:
        tracer.terminate()
        tracer.wait(10)
    synced, seen = False, 0
    for line in trace.read_text(errors="replace").splitlines():
        if "POST /api/reports" in line:
            synced = False
        elif "sync" in line and "= 0" in line:
            synced = True
        elif "HTTP/1.1 202" in line:
            assert synced, "a 202 left before a sync"
            seen += 1
    assert seen >= 20, f"only {seen} answers were seen in the trace"


@pytest.mark.parametrize(
    "how",
    [
        pytest.param("noise", marks=[pytest.mark.slow, pytest.mark.faults]),
        pytest.param("truncated", marks=[pytest.mark.slow, pytest.mark.faults]),
        "newer",
    ],
)
def test_a_database_that_cannot_be_used_stops_the_start(tmp_path: Path, how: str) -> None:
    """Row 31: one clear line, not 0, and the file stays as it was."""
    home = tmp_path / "home"
    home.mkdir()
    file = home / "haulier.sqlite"
    from service.tracker import Tracker

    Tracker.open(f"sqlite:///{file}").close()
    if how == "newer":
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("UPDATE alembic_version SET version_num = '9999'")
            connection.commit()
    else:
        data = file.read_bytes()
        file.write_bytes(os.urandom(len(data)) if how == "noise" else data[: len(data) // 3])
    before = file.read_bytes()
    env = {**{k: v for k, v in os.environ.items() if not k.startswith("HAULIER_")}, "HAULIER_HOME": str(home)}
    command = [*LAUNCH, "serve", "--port", str(free_port())]
    ended = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert ended.returncode != 0
    said = ended.stderr.strip()
    assert said and "Traceback" not in said, said
    assert file.read_bytes() == before
