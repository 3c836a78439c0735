"""What retention removes and what it must not touch: real SQLite, a real store, a clock of ours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines.datasets import Catalog, Column, Commit, Fragment, Mode, commit_fragments, write_fragment
from pipelines.errors import UnknownDataset
from pipelines.imports.request import parse
from pipelines.plan import Artifact, Json
from pipelines.store import Store
from service.errors import Gone
from service.jobs import Jobs
from service.model import JobError, NewJob, new_id
from service.retention import Retention, Swept
from service.tracker import Tracker

NOTHING = Swept(0, 0, 0)
GRACE = 100.0


@dataclass
class House:
    tracker: Tracker
    store: Store
    now: list[float] = field(default_factory=lambda: [0.0])
    epochs: dict[str, int] = field(default_factory=dict)

    def retention(self, keep_bytes: int = 1 << 30, **more: Any) -> Retention:
        return Retention(
            self.tracker, self.store, keep_bytes=keep_bytes, grace=GRACE, clock=lambda: self.now[0], **more
        )

    def put(self, key: str, size: int = 10) -> str:
        with self.store.put(key) as sink:
            sink.write(b"x" * size)
        return key

    def accept(self, kind: str = "report", **spec: Any) -> str:
        new = NewJob(new_id(datetime.now(UTC)), kind, "toy", {}, spec, 1, "rows")
        self.tracker.accept(new)
        return new.id

    def lease(self, job_id: str) -> int:
        self.epochs |= {job.id: job.epoch for job in self.tracker.lease("d", 100, 30)}
        return self.epochs[job_id]

    def succeed(self, job_id: str, size: int = 10, expires: datetime | None = None) -> str:
        epoch = self.lease(job_id)
        path = self.put(f"results/{job_id}/{epoch}/report.csv", size)
        artifact = Artifact(path, "report.csv", "text/csv", size, "0" * 64)
        assert self.tracker.seal(job_id, epoch, {})
        assert self.tracker.succeed(job_id, epoch, artifact, expires)
        return path

    def fail(self, job_id: str) -> None:
        assert self.tracker.fail(job_id, self.lease(job_id), JobError("internal", "It failed."))

    def stored(self) -> list[str]:
        return [
            stat.key
            for prefix in ("uploads", "scratch", "results", "kept", "datasets")
            for stat in self.store.list(prefix)
        ]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    tracker = Tracker.open(f"sqlite:///{tmp_path / 'haulier.db'}")
    yield House(tracker, Store(str(tmp_path / "store")))
    tracker.close()


def sweeps(retention: Retention, house: House) -> tuple[Swept, Swept]:
    """One look, and one after the grace."""
    first = retention.sweep()
    house.now[0] += GRACE + 1
    return first, retention.sweep()


def test_an_expired_result_goes_and_its_job_says_so(house: House) -> None:
    old, young = house.accept(), house.accept()
    house.succeed(old, expires=datetime.now(UTC) - timedelta(seconds=1))
    kept = house.succeed(young, expires=datetime.now(UTC) + timedelta(days=1))
    assert house.retention().sweep() == Swept(1, 0, 0)
    assert house.stored() == [kept]
    with pytest.raises(Gone):
        Jobs(house.tracker, house.store).artifact(old)
    assert house.retention().sweep() == NOTHING


def test_the_oldest_results_go_while_there_are_too_many_bytes(house: House) -> None:
    jobs = [house.accept() for _ in range(4)]
    paths = [house.succeed(job, size=100) for job in jobs]
    assert house.retention(keep_bytes=250).sweep().results == 2
    assert house.stored() == sorted(paths[2:])


def test_kept_partials_go_before_results(house: House) -> None:
    path = house.succeed(house.accept(), size=100)
    house.put("kept/question/0", 100)
    assert house.retention(keep_bytes=150).sweep() == Swept(0, 0, 1)
    assert house.stored() == [path]


def test_uploads_stay_while_an_import_needs_them(house: House) -> None:
    waiting, second, done = (house.put(f"uploads/{name}/data") for name in "abc")

    def files(*keys: str) -> list[Json]:
        given = [{"source": {"store": key}, "name": "a.csv", "bytes": 10, "sha256": None} for key in keys]
        request = parse({"dataset": "sales", "files": given}, Catalog(house.store))
        found: list[Json] = request.spec["files"]
        return found

    house.accept("import", files=files(waiting, second))
    house.succeed(house.accept("import", files=files(done)))
    house.fail(house.accept("import", files=[{"source": {"file": "/data/a.csv"}}]))
    _, last = sweeps(house.retention(), house)
    assert last.orphans == 1
    assert [key for key in house.stored() if key.startswith("uploads")] == [waiting, second]
    assert house.store.children("uploads") == ("a", "b")


def sales(house: House, job: str, mode: str, rows: int) -> None:
    """A version of the dataset sales."""
    table = pa.table({"n": pa.array(range(rows), pa.int64())})
    fragment = write_fragment(house.store, f"datasets/sales/{job}-0-0-1.parquet", table, None)
    commit = Commit("sales", Mode(mode), (Column("n", "integer"),), None, job, 1, {})
    commit_fragments(house.store, commit, [fragment])


def test_versions_go_by_age_but_never_the_newest_nor_one_that_a_job_reads(house: House) -> None:
    jobs = [house.accept() for _ in range(4)]
    for number, (job, mode) in enumerate(zip(jobs, ("create", "append", "replace", "append"), strict=True)):
        house.succeed(job)
        sales(house, job, mode, 10 + number)
    catalog = Catalog(house.store)

    def fragments() -> list[str]:
        keys = [stat.key for stat in house.store.list("datasets")]
        return [key.split("/")[-1].split("-")[0] for key in keys if key.endswith(".parquet")]

    reader = house.accept("report", works=[{"question": {"dataset": "sales", "version": 1}}])
    sweeps(house.retention(), house)
    assert fragments() == jobs, "all are young"
    old = partial(house.retention, keep_versions=timedelta(0))
    sweeps(old(), house)
    assert fragments() == jobs, "version 1 is being read"
    assert [each["version"] for each in catalog.versions("sales")] == [1, 2, 3]
    house.fail(reader)
    sweeps(old(), house)
    assert fragments() == jobs[2:]
    assert catalog.get("sales").rows == 12 + 13
    with pytest.raises(UnknownDataset, match=r"Version 1 of .* is not kept any more; the oldest is 3"):
        catalog.get("sales", 1)
    assert [each["version"] for each in catalog.versions("sales")] == [3]


def test_a_version_asked_for_just_before_it_is_given_up_stays_until_it_was_read(house: House) -> None:
    for mode in ("create", "replace"):
        job = house.accept()
        house.succeed(job)
        sales(house, job, mode, 5)
    retention = house.retention(keep_versions=timedelta(0))
    assert retention.sweep() == NOTHING  # given up, not gone
    reader = house.accept("report", question={"dataset": "sales", "version": 0})
    house.now[0] += 10 * GRACE
    assert retention.sweep() == NOTHING
    house.fail(reader)
    assert retention.sweep().orphans == 1


def test_what_a_failed_import_rejected_stays_as_long_as_a_result(house: House) -> None:
    failed, canceled = house.accept("import", files=[]), new_id(datetime.now(UTC))
    house.fail(failed)
    stays = house.put(f"results/{failed}/1/rejects.csv")
    house.put(f"results/{failed}/1/receipt.json")
    house.put(f"results/{canceled}/1/rejects.csv")
    sweeps(house.retention(), house)
    assert house.stored() == [stays]
    sweeps(house.retention(keep=timedelta(0)), house)
    assert house.stored() == []


def test_an_upload_under_way_is_not_an_orphan_as_long_as_it_grows(house: House) -> None:
    retention, size = house.retention(), 0
    for _ in range(5):
        size += 10
        house.put("uploads/a/data.0123.part", size)
        assert retention.sweep() == NOTHING
        house.now[0] += GRACE - 1
    house.now[0] += GRACE
    assert retention.sweep() == Swept(0, 1, 0)


def test_what_ended_and_unknown_jobs_left_goes_and_what_running_ones_write_stays(house: House) -> None:
    running, failed, unknown = house.accept(), house.accept(), new_id(datetime.now(UTC))
    house.fail(failed)
    stays = [house.put(f"scratch/{running}/1/part"), house.put(f"results/{running}/1/report.csv")]
    stays += [house.put(f"datasets/sales/{running}-0-0-1.parquet")]
    for job in (failed, unknown):
        house.put(f"scratch/{job}/1/part")
        house.put(f"results/{job}/1/report.csv")
        house.put(f"datasets/sales/{job}-0-0-1.parquet")
    house.put("scratch/deleted-0123/part")
    first, second = sweeps(house.retention(), house)
    assert first == NOTHING
    assert second == Swept(0, 7, 0)
    assert house.stored() == stays


def test_only_the_published_run_of_a_successful_job_stays(house: House) -> None:
    job = house.accept()
    path = house.succeed(job)
    house.put(f"results/{job}/7/report.csv")
    house.put(f"{path}.0123.part")
    _, second = sweeps(house.retention(), house)
    assert second.orphans == 2
    assert house.stored() == [path]


def test_a_result_goes_that_was_to_be_removed_when_its_remover_died(house: House) -> None:
    job = house.accept()
    house.succeed(job)
    assert house.tracker.remove_result(job)
    first, second = sweeps(house.retention(), house)
    assert (first.orphans, second.orphans) == (0, 1)
    assert house.stored() == []


def test_what_a_late_part_wrote_beside_the_version_of_its_import_goes(house: House) -> None:
    def written(job: str, number: int) -> Fragment:
        key = f"datasets/log/{job}-{number}-0-1.parquet"
        return write_fragment(house.store, key, pa.table({"n": [number]}), None)

    retention, stays = house.retention(), []
    for mode in (Mode.CREATE, Mode.APPEND):
        job = house.accept("import", files=[])
        house.succeed(job)
        commit = Commit("log", mode, (Column("n", "integer"),), None, job, 1, {})
        fragments = [written(job, 0), written(job, 1)]
        commit_fragments(house.store, commit, fragments)
        stays += [each.path for each in fragments]
        assert retention.sweep().orphans == 0
        written(job, 9)
        _, second = sweeps(retention, house)
        assert second.orphans == 1
    found = [key for key in house.stored() if key.startswith("datasets") and "_delta_log" not in key]
    assert found == sorted(stays)
