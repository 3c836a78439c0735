"""The checker against histories made by hand: good ones pass, each broken promise is found by its name."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from tests.faults.checker import check
from tests.faults.history import Call

DATA = b"the result"
SHA = hashlib.sha256(DATA).hexdigest()
PATH = "results/a/1/report.txt"


class Story:
    """One job that went well, to be spoiled by a test."""

    def __init__(self) -> None:
        self.row: dict[str, Any] = {
            "id": "a",
            "state": "successful",
            "epoch": 1,
            "run_epoch": 1,
            "strikes": 0,
            "phase": "complete",
            "message": None,
            "error": None,
            "spec": {},
            "idempotency_key": "k",
            "artifact": {"path": PATH, "sha256": SHA},
        }
        self.rows = [self.row]
        self.calls = [
            call("submit", 0, 202, {"id": "a"}, key="k", body={"x": 1}),
            call("job", 1, 200, document("accepted")),
            call("job", 3, 200, document("running", done=5)),
            call("job", 9, 200, document("successful", done=10, progress=100), job="a"),
            call("download", 10, 200, DATA, job="a"),
        ]
        names: list[tuple[str, dict[str, Any]]] = [
            ("accepted", {}),
            ("started", {"epoch": 1}),
            ("planned", {}),
            ("successful", {}),
        ]
        self.events = [event(n, name, data) for n, (name, data) in enumerate(names)]
        self.executions = [ran("start", 0), ran("end", 0), ran("start", 1), ran("end", 1)]
        self.files = {PATH}
        self.more: dict[str, Any] = {}

    def findings(self) -> list[str]:
        found = check(self.calls, self.rows, self.events, self.executions, self.files, **self.more)
        return sorted({line.split(":")[0] for line in found.violations})


def call(op: str, at: float, status: int, answer: Any, **more: Any) -> Call:
    return Call(op, "ok", at, at + 0.5, status=status, answer=answer, **more)


def document(status: str, *, done: int = 0, attempt: int = 1, progress: int = 0) -> dict[str, Any]:
    return {
        "id": "a",
        "status": status,
        "units": {"done": done},
        "attempt": attempt,
        "progress": progress,
        "started": None,
    }


def event(n: int, name: str, data: dict[str, Any]) -> dict[str, Any]:
    return {"sequence": n, "job_id": "a", "name": name, "data": data}


def ran(what: str, part: int, pid: int = 7, epoch: int = 1, at: float = 0.0) -> dict[str, Any]:
    return {"event": what, "job": "a", "epoch": epoch, "part": part, "pid": pid, "at": at}


def test_a_good_history_passes() -> None:
    assert Story().findings() == []


def test_an_unsure_submission_may_have_happened_or_not() -> None:
    story = Story()
    story.calls[0] = Call("submit", "info", 0, 1, key="k", body={"x": 1})
    found = check(story.calls, story.rows, story.events, story.executions, story.files)
    assert (found.accepted, found.recovered, found.violations) == (0, 1, [])
    story.calls[0] = Call("submit", "info", 0, 1, key="other", body={"x": 1})
    assert story.findings() == ["I2"]


def test_overlapping_polls_may_answer_in_any_order() -> None:
    story = Story()
    story.calls[1] = Call("job", "ok", 2.0, 4.0, status=200, answer=document("running", done=9))
    story.calls[2] = Call("job", "ok", 3.0, 3.5, status=200, answer=document("running", done=5))
    assert story.findings() == []


def test_a_second_run_of_a_part_is_allowed_when_its_worker_died() -> None:
    story = Story()
    story.executions += [ran("start", 0, pid=8, at=5.0)]
    assert story.findings() == ["I5"]
    story.more["harmed"] = {7}
    assert story.findings() == []


def test_a_new_epoch_may_run_everything_again() -> None:
    story = Story()
    story.events[2:2] = [event(9, "requeued", {}), event(10, "started", {"epoch": 2})]
    story.events = [{**each, "sequence": n} for n, each in enumerate(story.events)]
    story.executions += [ran("start", 0, pid=8, epoch=2), ran("start", 1, pid=8, epoch=2)]
    story.row |= {"epoch": 2, "run_epoch": 2, "artifact": {"path": "results/a/2/report.txt", "sha256": SHA}}
    story.files = {"results/a/2/report.txt"}
    assert story.findings() == []


def lost(story: Story) -> None:
    story.rows, story.events, story.executions, story.files = [], [], [], set()
    story.calls = story.calls[:1]


def unexpected(story: Story) -> None:
    story.calls = []


def two_jobs_for_a_key(story: Story) -> None:
    story.rows.append({**story.row, "id": "b", "artifact": None, "state": "dismissed"})
    story.events += [
        {**event(20 + n, name, {}), "job_id": "b"} for n, name in enumerate(("accepted", "dismissed"))
    ]
    story.calls.append(call("submit", 20, 202, {"id": "b"}, key="k", body={"x": 1}))


def other_body_taken(story: Story) -> None:
    story.calls.append(call("submit", 20, 202, {"id": "a"}, key="k", body={"x": 2}))


def never_ends(story: Story) -> None:
    story.row |= {"state": "running", "artifact": None}
    story.calls, story.events, story.files = story.calls[:3], story.events[:3], set()


def leaves_its_end(story: Story) -> None:
    story.calls.append(call("job", 20, 200, document("running", done=10)))


def moves_out_of_an_end(story: Story) -> None:
    story.events += [event(20, "requeued", {}), event(21, "successful", {})]


def same_epoch_twice(story: Story) -> None:
    story.events.insert(2, event(1, "started", {"epoch": 1}))


def falls_back(story: Story) -> None:
    story.calls.insert(3, call("job", 5, 200, document("running", done=4)))


def full_before_the_end(story: Story) -> None:
    story.calls[2] = call("job", 3, 200, document("running", done=10, progress=100))


def artifact_of_another_epoch(story: Story) -> None:
    story.row["run_epoch"] = 2


def artifact_without_success(story: Story) -> None:
    story.row["state"], story.row["error"] = "failed", {"code": "internal"}
    story.events[-1]["name"] = "failed"
    story.calls.pop(3)


def other_bytes(story: Story) -> None:
    story.calls[4] = call("download", 10, 200, b"half", job="a")


def wrong_result(story: Story) -> None:
    story.more["reference"] = lambda row: b"another result"


def torn_on_the_disk(story: Story) -> None:
    story.more["digests"] = {PATH: hashlib.sha256(b"half").hexdigest()}


def loose_fragment(story: Story) -> None:
    story.files |= {"datasets/x/a-1-0.parquet"}


def gone_too_early(story: Story) -> None:
    story.calls[4] = call("download", 10, 410, {}, job="a")


def file_missing(story: Story) -> None:
    story.files = set()


def file_left(story: Story) -> None:
    story.files |= {"scratch/a-1/part"}


def half_a_file_left(story: Story) -> None:
    story.files |= {"kept/x/1.abc.part"}


def canceled_and_run(story: Story) -> None:
    story.row |= {"state": "dismissed", "artifact": None}
    story.events = [event(1, "accepted", {}), event(2, "dismissed", {})]
    story.executions, story.files = [ran("start", 0)], set()
    story.calls = [story.calls[0], call("cancel", 2, 200, document("dismissed"), job="a")]


def ran_unleased(story: Story) -> None:
    story.executions.append(ran("start", 0, epoch=5))


def too_many_strikes(story: Story) -> None:
    story.row["strikes"] = 3


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (lost, ["I1"]),
        (unexpected, ["I2"]),
        (two_jobs_for_a_key, ["I9"]),
        (other_body_taken, ["I9"]),
        (never_ends, ["I11"]),
        (leaves_its_end, ["I4"]),
        (moves_out_of_an_end, ["I4"]),
        (same_epoch_twice, ["I4"]),
        (falls_back, ["I7"]),
        (full_before_the_end, ["I7"]),
        (artifact_of_another_epoch, ["I3"]),
        (artifact_without_success, ["I6"]),
        (other_bytes, ["I6"]),
        (wrong_result, ["I6"]),
        (gone_too_early, ["I6"]),
        (file_missing, ["I13"]),
        (torn_on_the_disk, ["I6"]),
        (loose_fragment, ["I13"]),
        (file_left, ["I13"]),
        (half_a_file_left, ["I13"]),
        (canceled_and_run, ["I5", "I8"]),
        (ran_unleased, ["I5"]),
        (too_many_strikes, ["I10"]),
    ],
    ids=lambda given: given.__name__ if callable(given) else "",
)
def test_each_broken_promise_is_found(spoil: Any, found: list[str]) -> None:
    story = Story()
    spoil(story)
    assert story.findings() == found
