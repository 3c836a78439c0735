"""The use cases of jobs on a real tracker and a real store; only the parsing of requests is a stand-in."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pipelines.errors import Fault, InvalidRequest
from pipelines.plan import Artifact, Json, Request
from pipelines.store import Store
from service.errors import Gone, JobEnded, KeyReused, NotCancelable, NotReady, ServiceError, UnknownJob
from service.jobs import Jobs, Upload
from service.model import Job, JobError, JobState, Priority
from service.tracker import ProgressUpdate, Tracker
from service.waiting import QueuePlace, Waiting

BODY: Json = {"reportType": "yearly-sales", "parameters": {"year": "2023"}}


@dataclass
class House:
    """Jobs and what it stands on. `parsed` holds the payloads that reached the pipelines."""

    jobs: Jobs
    tracker: Tracker
    store: Store
    folder: Path
    parsed: list[Json]

    def lease(self) -> Job:
        [job] = self.tracker.lease("me", 1, 60)
        return job

    def upload(self, name: str = "sales.csv", sha256: str = "aa", number: int = 1) -> Upload:
        key = f"uploads/u{number}/data"
        with self.store.put(key) as sink:
            sink.write(b"a,b\n1,2\n")
        return Upload(name, key, 8, sha256)

    def publish(self, job: Job, data: bytes = b"month,revenue\n") -> Artifact:
        with self.store.put(f"results/{job.id}/{job.epoch}/report.csv") as sink:
            sink.write(data)
        path = f"results/{job.id}/{job.epoch}/report.csv"
        artifact = Artifact(path, "report.csv", "text/csv", sink.bytes, sink.sha256)
        assert self.tracker.succeed(job.id, job.epoch, artifact)
        return artifact


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    parsed: list[Json] = []

    def parse_report(payload: Json, catalog: Any) -> Request:
        parsed.append(payload)
        if payload.get("reportType") != "yearly-sales":
            raise InvalidRequest([Fault("/reportType", "unknown"), Fault("/parameters/year", "missing")])
        return Request(
            "yearly-sales", payload["parameters"], {"dataset": "sales", "version": 1}, 1000, "rows"
        )

    def parse_import(payload: Json, catalog: Any) -> Request:
        parsed.append(payload)
        if payload["dataset"] == "taken":
            taken = Fault("/dataset", "There is a dataset 'taken'.")
            named = all(file["name"] for file in payload["files"])
            raise InvalidRequest([taken, *([] if named else [Fault("/source", "no file")])])
        size = sum(file["bytes"] for file in payload["files"])
        return Request("csv", payload, {"files": payload["files"]}, size, "bytes")

    folder = tmp_path / "input"
    folder.mkdir()
    tracker, store = Tracker.open(f"sqlite:///{tmp_path}/haulier.db"), Store(str(tmp_path / "store"))
    pipelines = {"report": SimpleNamespace(parse=parse_report), "import": SimpleNamespace(parse=parse_import)}
    jobs = Jobs(tracker, store, input_folders=[folder], pipelines=cast("Any", pipelines))
    yield House(jobs, tracker, store, folder, parsed)
    tracker.close()


# --- reports


def test_a_report_is_recorded_as_it_was_asked_for(house: House) -> None:
    job, replayed = house.jobs.submit_report(BODY, priority="batch")
    assert not replayed
    assert (job.kind, job.type, job.state) == ("report", "yearly-sales", JobState.ACCEPTED)
    assert (job.parameters, job.size, job.priority) == ({"year": "2023"}, 1000, Priority.BATCH)
    assert house.jobs.get(job.id, "report") == job


def test_a_wrong_report_names_all_faults_and_leaves_no_row(house: House) -> None:
    with pytest.raises(InvalidRequest) as refused:
        house.jobs.submit_report({"reportType": "nope"}, key="k")
    assert [fault.pointer for fault in refused.value.faults] == ["/reportType", "/parameters/year"]
    assert house.jobs.list().jobs == ()


@pytest.mark.parametrize("body", [None, [], "text", 3])
def test_a_body_that_is_no_object_is_refused(house: House, body: Any) -> None:
    with pytest.raises(InvalidRequest, match="must be a JSON object"):
        house.jobs.submit_report(body)


def test_the_same_key_and_body_give_the_first_job_whatever_the_order_of_members(house: House) -> None:
    first, _ = house.jobs.submit_report(BODY, key="k")
    again, replayed = house.jobs.submit_report(dict(reversed(BODY.items())), key="k")
    assert (again.id, replayed) == (first.id, True)
    assert len(house.parsed) == 1  # a replay is not checked again: what it asked for may have changed since


def test_the_same_key_with_another_body_is_refused(house: House) -> None:
    house.jobs.submit_report(BODY, key="k")
    with pytest.raises(KeyReused) as refused:
        house.jobs.submit_report({**BODY, "format": "csv"}, key="k")
    assert refused.value.status == 422
    assert len(house.jobs.list().jobs) == 1


@pytest.mark.parametrize("key", ["", "x" * 256, "a\nb", "schlüssel", "nul\0"])
def test_a_key_no_database_can_keep_is_refused(house: House, key: str) -> None:
    with pytest.raises(InvalidRequest, match="Idempotency-Key"):
        house.jobs.submit_report(BODY, key=key)


def test_an_unknown_priority_is_refused_with_the_known_ones(house: House) -> None:
    with pytest.raises(InvalidRequest, match=r"'bulk'; use interactive or batch"):
        house.jobs.submit_report(BODY, priority="bulk")


# --- imports


def test_an_upload_becomes_a_job_that_names_the_file_and_not_its_place(house: House) -> None:
    upload = house.upload()
    job, _ = house.jobs.submit_import(dataset="sales", source=upload, options={"mode": "append"})
    assert job.parameters == {"dataset": "sales", "source": "sales.csv", "options": {"mode": "append"}}
    assert house.parsed == [
        {
            "dataset": "sales",
            "options": {"mode": "append"},
            "files": [{"source": {"store": upload.key}, "name": "sales.csv", "bytes": 8, "sha256": "aa"}],
        }
    ]
    assert house.store.exists(upload.key)


def test_several_uploads_are_one_job_and_go_together_when_it_is_refused(house: House) -> None:
    some = [house.upload(f"{n}.csv", number=n) for n in range(3)]
    job, _ = house.jobs.submit_import(dataset="sales", source=some, options=None)
    assert job.parameters["source"] == ["0.csv", "1.csv", "2.csv"]
    assert [file["name"] for file in house.parsed[0]["files"]] == ["0.csv", "1.csv", "2.csv"]
    with pytest.raises(InvalidRequest):
        house.jobs.submit_import(dataset="taken", source=some, options=None)
    assert not any(house.store.exists(each.key) for each in some)


def test_a_file_named_twice_is_refused_where_it_stands(house: House) -> None:
    (house.folder / "a.csv").write_text("a,b\n")
    with pytest.raises(InvalidRequest) as refused:
        house.jobs.submit_import(dataset="sales", source=["a.csv", "none.csv", "./a.csv"], options=None)
    assert [fault.pointer for fault in refused.value.faults] == ["/source/1", "/source/2"]


def test_a_refused_upload_is_deleted(house: House) -> None:
    upload = house.upload()
    with pytest.raises(InvalidRequest):
        house.jobs.submit_import(dataset="taken", source=upload, options=None)
    assert list(house.store.list("uploads")) == []


def test_a_repeated_upload_replays_the_job_and_only_the_copy_is_deleted(house: House) -> None:
    first, again = house.upload(number=1), house.upload(number=2)
    job, _ = house.jobs.submit_import(dataset="sales", source=first, options=None, key="k")
    same, replayed = house.jobs.submit_import(dataset="sales", source=again, options=None, key="k")
    assert (same.id, replayed) == (job.id, True)
    assert [stat.key for stat in house.store.list("uploads")] == [first.key]


def test_a_key_with_other_bytes_under_the_same_name_is_refused_and_the_upload_deleted(house: House) -> None:
    house.jobs.submit_import(dataset="sales", source=house.upload(number=1), options=None, key="k")
    with pytest.raises(KeyReused):
        house.jobs.submit_import(
            dataset="sales", source=house.upload(sha256="bb", number=2), options=None, key="k"
        )
    assert len(list(house.store.list("uploads"))) == 1


@pytest.mark.parametrize("absolute", [False, True])
def test_a_file_in_an_input_folder_is_found(house: House, absolute: bool) -> None:
    file = house.folder / "deep" / "sales.csv"
    file.parent.mkdir()
    file.write_text("a,b\n")
    given = str(file) if absolute else "deep/sales.csv"
    job, _ = house.jobs.submit_import(dataset="sales", source=given, options=None)
    assert job.parameters["source"] == given
    [found] = house.parsed[0]["files"]
    assert found["source"] == {"file": str(file.resolve())}
    assert (found["name"], found["bytes"]) == ("sales.csv", 4)


def test_files_elsewhere_look_exactly_like_missing_ones(house: House, tmp_path: Path) -> None:
    outside = tmp_path / "secret.csv"
    outside.write_text("secret")
    (house.folder / "link.csv").symlink_to(outside)
    (house.folder / "way").symlink_to(tmp_path)
    (house.folder / "circle").symlink_to("circle")
    hidden = ["link.csv", "way/secret.csv", "../secret.csv", str(outside)]
    missing = [
        "missing.csv",
        str(tmp_path / "missing.csv"),
        ".",
        "circle",
        "nul\0",
        "x" * 5000,
        "deep/../../x",
    ]
    for given in hidden + missing:
        with pytest.raises(InvalidRequest) as refused:
            house.jobs.submit_import(dataset="sales", source=given, options=None)
        [fault] = refused.value.faults
        assert fault.pointer == "/source"
        assert fault.detail.removeprefix(repr(given)) == (
            " is no file in an input folder of this service; put it there, or upload the file."
        )
    assert house.jobs.list().jobs == ()


def test_a_refused_file_hides_no_other_fault(house: House) -> None:
    with pytest.raises(InvalidRequest) as refused:
        house.jobs.submit_import(dataset="taken", source="missing.csv", options=None)
    assert [fault.pointer for fault in refused.value.faults] == ["/source", "/dataset"]


@pytest.mark.parametrize("source", [None, 3, "", ["a"]])
def test_a_source_that_is_no_path_is_refused(house: House, source: Any) -> None:
    with pytest.raises(InvalidRequest, match="/source"):
        house.jobs.submit_import(dataset="sales", source=source, options=None)


def test_without_input_folders_a_path_is_refused_with_what_to_do(house: House) -> None:
    jobs = Jobs(house.tracker, house.store)
    with pytest.raises(InvalidRequest, match="no input folder; upload the file"):
        jobs.submit_import(dataset="sales", source="sales.csv", options=None)


# --- look, wait, cancel


def test_a_job_of_another_kind_is_unknown(house: House) -> None:
    job, _ = house.jobs.submit_report(BODY)
    for wrong in ((job.id, "import"), ("nobody", None)):
        with pytest.raises(UnknownJob) as unknown:
            house.jobs.get(*wrong)
        assert unknown.value.status == 404


def test_a_waiting_job_says_how_many_are_ahead(house: House) -> None:
    ids = [house.jobs.submit_report(BODY)[0] for _ in range(3)]
    assert [house.jobs.waiting.queue(job) for job in ids] == [
        QueuePlace(0, "It is next and waits for a free worker."),
        QueuePlace(1, "1 job is ahead."),
        QueuePlace(2, "2 jobs are ahead."),
    ]
    assert house.jobs.waiting.queue(house.lease()) is None


def test_a_waiting_job_says_who_should_do_the_work_and_when(house: House) -> None:
    house.jobs.submit_report(BODY)
    running = house.lease()
    time.sleep(1.2)
    house.publish(running)
    waiting = Waiting(house.tracker, house.tracker.clock)
    house.jobs.submit_report(BODY)
    house.lease()
    third, fourth = (house.jobs.submit_report(BODY)[0] for _ in range(2))
    place = waiting.queue(third)
    assert place is not None
    assert place.position == 0
    assert place.reason.startswith("It is next; the workers are busy with 1 running job; it may start in")
    waiting.workers = lambda: 0
    said = waiting.queue(fourth)
    assert said is not None
    assert re.fullmatch(
        r"1 job is ahead; it may start in about [23] s\. No worker has come yet\.", said.reason
    )


def test_a_job_that_was_put_back_says_why(house: House) -> None:
    house.jobs.submit_report(BODY)
    job = house.lease()
    house.tracker.requeue(job.id, job.epoch, "The workers run another version.", blameless=True)
    said = house.jobs.waiting.queue(house.jobs.get(job.id))
    assert said is not None
    assert said.reason == "The workers run another version. It is next and waits for a free worker."


def test_the_estimate_needs_a_basis_and_counts_the_queue(house: House) -> None:
    job, _ = house.jobs.submit_report(BODY)
    assert house.jobs.waiting.estimate(job) is None
    running = house.lease()
    time.sleep(0.3)
    house.publish(running)
    first, second = (house.jobs.submit_report(BODY)[0] for _ in range(2))
    near, far = house.jobs.waiting.estimate(first), house.jobs.waiting.estimate(second)
    assert near is not None
    assert far is not None
    assert near.basis == "1 earlier run"
    assert far.basis == "1 earlier run and the jobs ahead"
    assert far.seconds > near.seconds
    assert house.jobs.waiting.estimate(house.jobs.get(job.id)) is None  # it has ended


def test_waiting_ends_at_the_next_change(house: House) -> None:
    job, _ = house.jobs.submit_report(BODY)
    leased: list[Job] = []
    timer = threading.Timer(0.1, lambda: leased.append(house.lease()))
    timer.start()
    began = time.monotonic()
    seen = house.jobs.waiting.until_changed(job.id, 20)
    assert seen.state is JobState.RUNNING
    assert time.monotonic() - began < 10
    timer.join()
    timer = threading.Timer(0.1, house.tracker.progress, [[ProgressUpdate(job.id, 1, 5, "working")]])
    timer.start()
    assert house.jobs.waiting.until_changed(job.id, 20, seen.revision).progress.done == 5
    timer.join()


def test_waiting_for_what_has_changed_already_does_not_wait(house: House) -> None:
    job, _ = house.jobs.submit_report(BODY)
    house.lease()
    began = time.monotonic()
    assert house.jobs.waiting.until_changed(job.id, 20, job.revision).state is JobState.RUNNING
    ended = house.jobs.cancel(house.jobs.submit_report(BODY)[0].id)
    assert house.jobs.waiting.until_changed(ended.id, 20) == ended
    assert time.monotonic() - began < 10


def test_waiting_gives_up_after_its_time_and_knows_no_unknown_job(house: House) -> None:
    job, _ = house.jobs.submit_report(BODY)
    assert house.jobs.waiting.until_changed(job.id, 0.1) == job
    with pytest.raises(UnknownJob):
        house.jobs.waiting.until_changed("nobody", 5)


def test_a_waiter_does_not_spin(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    job, _ = house.jobs.submit_report(BODY)
    looks: list[str] = []
    get = house.tracker.get
    monkeypatch.setattr(house.tracker, "get", lambda job_id: looks.append(job_id) or get(job_id))
    house.jobs.waiting.until_changed(job.id, 0.5)
    assert len(looks) <= 3


def test_a_canceled_waiting_job_ends_and_may_be_canceled_again(house: House) -> None:
    job, _ = house.jobs.submit_report(BODY)
    assert house.jobs.cancel(job.id).state is JobState.DISMISSED
    assert house.jobs.cancel(job.id).state is JobState.DISMISSED
    assert [event.name for event in house.jobs.events(job.id)] == ["accepted", "dismissed"]


def test_canceling_a_running_job_asks_its_holder(house: House) -> None:
    house.jobs.submit_report(BODY)
    job = house.lease()
    asked = house.jobs.cancel(job.id)
    assert (asked.state, asked.cancel_requested) == (JobState.RUNNING, True)
    assert house.tracker.cancel_requests("me") == [(job.id, 1)]


@pytest.mark.parametrize("failed", [False, True])
def test_a_job_that_ended_by_itself_cannot_be_canceled(house: House, failed: bool) -> None:
    house.jobs.submit_report(BODY)
    job = house.lease()
    if failed:
        house.tracker.fail(job.id, 1, JobError("bad-input", "Line 3 is wrong."))
    else:
        house.publish(job)
    with pytest.raises(NotCancelable) as refused:
        house.jobs.cancel(job.id)
    assert refused.value.status == 409
    with pytest.raises(UnknownJob):
        house.jobs.cancel("nobody")


# --- results


def refusal(house: House, job: Job) -> ServiceError:
    with pytest.raises(ServiceError) as refused:
        house.jobs.artifact(job.id)
    return refused.value


def test_a_result_is_there_once_the_job_is_successful_until_it_is_removed(house: House) -> None:
    waiting, _ = house.jobs.submit_report(BODY)
    assert isinstance(refusal(house, waiting), NotReady)
    job = house.lease()
    assert isinstance(refusal(house, job), NotReady)
    artifact = house.publish(job)
    assert house.jobs.artifact(job.id) == (house.jobs.get(job.id), artifact)
    house.store.delete(artifact.path)
    gone = refusal(house, job)
    assert isinstance(gone, Gone)
    assert gone.status == 410


def test_a_job_without_a_result_says_why(house: House) -> None:
    house.jobs.submit_report(BODY)
    failed = house.lease()
    house.tracker.fail(failed.id, 1, JobError("bad-input", "Line 3 is wrong."))
    told = refusal(house, failed)
    assert isinstance(told, JobEnded)
    assert (told.status, told.code) == (409, "job-failed")
    assert "bad-input" in told.detail
    assert "Line 3 is wrong." in told.detail
    canceled = house.jobs.cancel(house.jobs.submit_report(BODY)[0].id)
    assert refusal(house, canceled).code == "job-canceled"


def test_ids_and_times_come_from_the_clock_given(tmp_path: Path) -> None:
    noon = datetime(2026, 6, 1, 12, tzinfo=UTC)
    tracker = Tracker.open(f"sqlite:///{tmp_path}/haulier.db", clock=lambda: noon)
    pipelines = {"report": SimpleNamespace(parse=lambda payload, catalog: Request("t", {}, {}, 1, "rows"))}
    jobs = Jobs(tracker, Store(str(tmp_path)), clock=lambda: noon, pipelines=cast("Any", pipelines))
    job, _ = jobs.submit_report(BODY)
    assert job.created == job.updated == noon
    tracker.close()


def test_with_the_real_pipelines_all_faults_of_an_import_are_told_at_once(tmp_path: Path) -> None:
    tracker = Tracker.open(f"sqlite:///{tmp_path}/haulier.db")
    jobs = Jobs(tracker, Store(str(tmp_path / "store")), input_folders=[tmp_path])
    with pytest.raises(InvalidRequest) as refused:
        jobs.submit_import(dataset="No Name", source="../x.csv", options={"mode": "apend"})
    assert [fault.pointer for fault in refused.value.faults] == ["/source", "/options/mode", "/dataset"]
    (tmp_path / "small.csv").write_text("a,b\n1,2\n")
    job, _ = jobs.submit_import(dataset="small", source="small.csv")
    assert (job.type, job.size, job.progress.unit) == ("csv", 8, "bytes")
    assert job.parameters == {"dataset": "small", "source": "small.csv"}
    assert [each["name"] for each in jobs.report_types()][:2] == ["yearly-sales", "aggregate"]
    assert jobs.datasets() == []
    tracker.close()


def test_importing_the_use_cases_loads_no_data_library() -> None:
    heavy = {"pyarrow", "pandas", "dask", "distributed", "flask"}
    code = f"import sys, service.jobs; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
