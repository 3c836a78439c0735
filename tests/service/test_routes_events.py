"""Server-sent events of one job and the feed of all changes: whole, resumable, and no more than there is."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service import stream
from service.model import JobState
from service.tracker import ProgressUpdate
from tests.service.routing import OTHER, House, pointers, refused, with_sales


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with with_sales(tmp_path / "home") as found:
        yield found


def parsed(text: str) -> list[dict[str, Any]]:
    """The events of a stream; `id` is None where there was none."""
    found = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "event" in lines:
            number = int(lines["id"]) if "id" in lines else None
            found.append({"id": number, "event": lines["event"], "data": json.loads(lines["data"])})
    return found


def events(house: House, own: str, after: int | None = None) -> list[dict[str, Any]]:
    headers = {} if after is None else {"Last_Event_ID": str(after)}
    answer = house.get(f"/api/jobs/{own}/events", **headers)
    assert (answer.status_code, answer.content_type) == (200, "text/event-stream")
    return parsed(answer.text)


# --- one job


def test_the_story_of_an_ended_job_is_told_whole_and_ends_with_its_document(house: House) -> None:
    own = house.run(house.post())
    told = events(house, own)
    kinds = [each["event"] for each in told]
    assert kinds[:2] == ["state", "state"] and kinds[-1] == "done"
    assert set(kinds[2:-1]) == {"progress"}
    assert [each["data"]["status"] for each in told[:2]] == ["successful"] * 2  # as it is by now
    assert [each["data"]["name"] for each in told[:2]] == ["accepted", "started"]
    document = house.job(own)
    assert told[-1]["data"] == document
    numbers = [each["id"] for each in told]
    assert numbers == sorted(set(numbers))


def test_a_stream_follows_a_job_as_it_runs_and_stops_at_its_end(house: House) -> None:
    own = house.post().json["id"]
    with house.dispatching():
        told = events(house, own)
    assert [told[0]["event"], told[-1]["event"]] == ["state", "done"]
    assert told[-1]["data"]["status"] == "successful"
    kept = [event.sequence for event in house.engine.jobs.events(own)]
    assert [each["id"] for each in told if each["id"] is not None] == kept


def test_who_comes_back_gets_what_it_missed_and_nothing_twice(house: House) -> None:
    own = house.run(house.post())
    whole = events(house, own)
    for count in range(len(whole) - 1):
        assert events(house, own, whole[count]["id"]) == whole[count + 1 :]
    again = house.get(f"/api/jobs/{own}/events", Last_Event_ID=str(whole[-1]["id"]))
    assert (again.status_code, again.data) == (204, b"")


def test_progress_between_lines_of_history_is_told_without_a_number(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "_PROGRESS", 0.0)
    own, tracker = str(house.post(OTHER).json["id"]), house.engine.tracker
    [job] = tracker.lease("d", 1, 30)
    assert tracker.planned(own, job.epoch, {"parts": []}, 10, "rows")
    news = house.engine.jobs.follow(own)
    assert [next(news).kind for _ in range(3)] == ["state", "state", "progress"]  # type: ignore[union-attr]
    tracker.progress([ProgressUpdate(own, job.epoch, 5, "working")])
    told = next(news)
    assert told is not None
    assert (told.kind, told.event, told.job.progress.done) == ("progress", None, 5)


def test_a_quiet_stream_says_that_it_is_there(house: House) -> None:
    own = house.post().json["id"]
    news = stream.follow(house.engine.tracker, own, 0, heartbeat=0.1)
    assert next(news) is not None
    assert next(news) is None


def test_a_stream_ends_when_its_job_is_removed(house: House) -> None:
    own = str(house.post().json["id"])
    news = stream.follow(house.engine.tracker, own, 0, heartbeat=0.1)
    assert next(news) is not None
    house.cancel(own)
    house.call("DELETE", f"/api/jobs/{own}")
    assert [each for each in news if each is not None] == []


def test_without_room_a_stream_tells_what_there_is_and_asks_to_come_back_later(house: House) -> None:
    own = house.post().json["id"]
    streams = house.http.application.extensions["haulier"].streams
    while streams.enter():
        pass
    answer = house.get(f"/api/jobs/{own}/events")
    assert answer.text.startswith("retry: 10000\n\n")
    assert [each["data"]["name"] for each in parsed(answer.text)] == ["accepted"]


def test_a_stream_gives_its_place_back(house: House) -> None:
    own = house.run(house.post())
    streams = house.http.application.extensions["haulier"].streams
    for _ in range(3):
        events(house, own)
    assert streams.taken == 0


def test_a_stream_of_no_job_or_from_no_number_is_refused(house: House) -> None:
    assert refused(house.get("/api/jobs/01nothing/events"), 404, "unknown-job") == []
    own = house.post().json["id"]
    assert pointers(house.get(f"/api/jobs/{own}/events", Last_Event_ID="x")) == [""]


# --- all jobs


def changes(house: House, cursor: str | None = None, wait: int | None = None) -> tuple[list[str], str]:
    query = f"cursor={cursor}" if cursor else ""
    answer = house.get(f"/api/jobs/changes?{query}" + (f"&wait={wait}" if wait is not None else ""))
    assert answer.status_code == 200, answer.text
    document = answer.json
    assert document["links"] == [{"rel": "next", "href": f"/api/jobs/changes?cursor={document['cursor']}"}]
    return [job["id"] for job in document["jobs"]], document["cursor"]


def test_the_feed_begins_with_the_active_jobs_and_goes_on_with_what_changed(house: House) -> None:
    done = house.run(house.post())
    first, second = house.post(OTHER).json["id"], house.upload("more").json["id"]
    active, cursor = changes(house)
    assert active == [first, second]
    assert changes(house, cursor) == ([], cursor)
    house.cancel(second)
    house.cancel(first)
    changed, later = changes(house, cursor)
    assert changed == [second, first]
    assert done not in changed
    assert changes(house, later) == ([], later)
    assert changes(house, cursor)[0] == changed  # an older cursor still works


def test_the_feed_waits_for_the_next_change(house: House) -> None:
    own = house.post(OTHER).json["id"]
    _, cursor = changes(house)
    timer = threading.Timer(0.2, house.engine.jobs.cancel, [own])
    timer.start()
    changed, _ = changes(house, cursor, wait=30)
    timer.join()
    assert changed == [own]
    assert house.engine.jobs.get(own).state is JobState.DISMISSED


def test_the_feed_without_a_change_answers_after_its_seconds(house: House) -> None:
    _, cursor = changes(house)
    assert changes(house, cursor, wait=1) == ([], cursor)


@pytest.mark.parametrize("query", ["cursor=abc", "cursor=", "wait=-1", "after=3"])
def test_a_wrong_question_for_changes_is_refused(house: House, query: str) -> None:
    assert pointers(house.get(f"/api/jobs/changes?{query}")) == [""]
