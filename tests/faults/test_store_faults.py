"""The store: full, its files damaged behind our back, its results removed by age while they are read."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from tests.faults import toy
from tests.faults.embedded import Embedded
from tests.faults.site import running, sound
from tests.faults.test_database_faults import small_disk


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")
@pytest.mark.needs_root
def test_a_full_disk_under_the_results_fails_the_job_cleanly(tmp_path: Path) -> None:
    """Row 32: failed with no-space, nothing half-visible is left, and the next job has the space again."""
    with (
        small_disk(tmp_path / "disk", "8m") as disk,
        running(lambda: Embedded(HAULIER_STORE_URL=str(disk))) as site,
    ):
        site.start()
        site.wait_for_workers()
        job = site.client.submit(toy.body(tag="large", bytes=30 << 20))
        document = site.client.wait(job)
        assert (document["status"], document["error"]["code"]) == ("failed", "no-space"), document["error"]
        assert site.client.download(job).status == 409
        small = site.client.submit(toy.body(tag="small", bytes=1 << 20))
        assert site.client.wait(small)["status"] == "successful"
        upload = site.client.call(
            "upload",
            "POST",
            "/api/imports?dataset=big&filename=a.csv",
            data=b"a,b\n" * (6 << 20),
            headers={"Content-Type": "text/csv"},
        )
        assert upload.type == "info" or upload.status in (503, 507), upload.status


@pytest.mark.parametrize("how", ["truncated", "deleted", "flipped", "longer"])
def test_a_damaged_result_is_never_served_as_whole(embedded: Embedded, how: str) -> None:
    """Row 33: an answer that says so, or a connection cut short; not 200 with other bytes than promised."""
    job = embedded.client.submit(toy.body(tag=f"damage-{how}", bytes=200_000))
    embedded.client.wait(job)
    file = embedded.store / embedded.row(job)["artifact"]["path"]
    embedded.damaged.add(job)
    data = file.read_bytes()
    match how:
        case "truncated":
            file.write_bytes(data[:100_000])
        case "deleted":
            file.unlink()
        case "flipped":
            file.write_bytes(data[:5] + bytes([data[5] ^ 1]) + data[6:])
        case "longer":
            file.write_bytes(data + b"x")
    call = embedded.client.download(job)
    assert call.type == "info" or call.status in (410, 500), call.status


@pytest.mark.slow
@pytest.mark.faults
def test_retention_races_downloads_and_running_jobs() -> None:
    """Row 35: results some seconds old go; a download gives all bytes or 410; running jobs keep theirs."""
    with running(lambda: Embedded(HAULIER_KEEP_DAYS="0.0001")) as site:
        site.start()
        site.wait_for_workers()
        long = site.client.submit(toy.body(tag="long", parts=80, seconds=0.4))
        stop = threading.Event()
        jobs: list[str] = []

        def reader() -> None:
            while not stop.is_set():
                for job in jobs[-6:]:
                    site.client.download(job)

        threads = [threading.Thread(target=reader) for _ in range(2)]
        for thread in threads:
            thread.start()
        until = time.monotonic() + 25
        while time.monotonic() < until:
            job = site.client.submit(toy.body(tag=f"short{len(jobs)}", parts=1, seconds=0.05, bytes=300_000))
            site.client.wait(job)
            jobs.append(job)
            time.sleep(0.5)
        stop.set()
        for thread in threads:
            thread.join()
        statuses = {call.status for call in site.history.calls("download")}
        assert statuses <= {200, 410}, statuses
        assert site.client.download(jobs[0]).status == 410, "nothing expired"
        assert not (site.store / site.row(jobs[0])["artifact"]["path"]).exists()
        assert site.client.wait(long)["status"] == "successful"
        sound(site)
