"""What the ETA promises: a basis or nothing, falling while work goes on, growing again when it stops."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.plan import Progress
from service.eta import Estimate, Run, estimate
from service.model import Job, JobState, Priority

START = datetime(2026, 6, 1, 12, tzinfo=UTC)
SIZE = 1_000_000


def job(state: JobState = JobState.RUNNING, **changes: Any) -> Job:
    given: dict[str, Any] = {
        "id": "j",
        "kind": "report",
        "type": "yearly-sales",
        "owner": "local",
        "priority": Priority.INTERACTIVE,
        "parameters": {},
        "spec": {},
        "size": SIZE,
        "state": state,
        "epoch": 1,
        "attempt": 1,
        "progress": Progress(),
        "revision": 1,
        "created": START,
        "updated": START,
        "started": None if state is JobState.ACCEPTED else START,
    }
    return Job(**{**given, **changes})


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def working(share: float, measured: float) -> Job:
    return job(progress=Progress(int(SIZE * share), SIZE, "rows", "working"), last_progress=at(measured))


def sure(found: Estimate | None) -> Estimate:
    assert found is not None
    return found


@pytest.mark.parametrize("state", [JobState.ACCEPTED, JobState.RUNNING])
def test_without_history_and_progress_there_is_no_guess(state: JobState) -> None:
    assert estimate(job(state), at(5), []) is None


@pytest.mark.parametrize("state", [JobState.SUCCESSFUL, JobState.FAILED, JobState.DISMISSED])
def test_an_ended_job_has_no_estimate(state: JobState) -> None:
    assert estimate(job(state), at(5), [Run(SIZE, 10)]) is None


def test_a_waiting_job_goes_by_earlier_runs_scaled_to_its_size() -> None:
    runs = [Run(SIZE // 2, 5.0), Run(SIZE * 2, 20.0)]
    found = sure(estimate(job(JobState.ACCEPTED), at(0), runs))
    assert found.seconds == pytest.approx(10)
    assert found.p90 > found.seconds
    assert found.basis == "2 earlier runs"


def test_the_queue_ahead_is_added_and_named() -> None:
    found = sure(estimate(job(JobState.ACCEPTED), at(0), [Run(SIZE, 10)], ahead_seconds=30))
    assert found.seconds == pytest.approx(40)
    assert found.basis == "1 earlier run and the jobs ahead"


def test_one_strange_run_does_not_spoil_the_guess() -> None:
    runs = [Run(SIZE, 10)] * 4 + [Run(SIZE, 500)]
    found = sure(estimate(job(JobState.ACCEPTED), at(0), runs))
    assert found.seconds == 10
    assert found.p90 >= 500 * 0.9


def test_runs_of_similar_size_count_before_runs_of_another_order() -> None:
    runs = [Run(100, 1.0)] * 15 + [Run(SIZE, 10.0)] * 10  # small runs are all overhead
    assert sure(estimate(job(JobState.ACCEPTED), at(0), runs)).seconds == 10


def test_before_any_progress_time_counts_down_but_never_to_nothing() -> None:
    guesses = [sure(estimate(job(), at(seconds), [Run(SIZE, 10)])).seconds for seconds in (0, 4, 8, 50)]
    assert guesses == [10, 6, 2, 1]


def test_throughput_alone_is_enough() -> None:
    found = sure(estimate(working(0.25, 5), at(5), []))
    assert found.seconds == pytest.approx(15)
    assert found.p90 > found.seconds
    assert found.basis == "throughput so far"


def test_early_on_history_is_blended_in_and_later_the_job_speaks_for_itself() -> None:
    slow = [Run(SIZE, 100)]
    early = sure(estimate(working(0.1, 1), at(1), slow))
    assert 9 < early.seconds < 90  # throughput says 9 more seconds, history 90
    assert early.basis == "1 earlier run and throughput so far"
    late = sure(estimate(working(0.6, 6), at(6), slow))
    assert late.seconds == pytest.approx(4)
    assert late.basis == "throughput so far"


def test_between_two_reports_the_guess_falls_with_time() -> None:
    guesses = [sure(estimate(working(0.5, 10), at(seconds), [])).seconds for seconds in (10, 12, 15)]
    assert guesses == [10, 8, 5]


def test_work_that_stands_still_keeps_its_guess_and_says_since_when() -> None:
    found = [sure(estimate(working(0.5, 10), at(seconds), [])) for seconds in (30, 60, 600)]
    assert [each.seconds for each in found] == [10, 10, 10]
    assert [each.basis for each in found] == [f"no progress for {n} s" for n in (20, 50, 590)]
    assert found[0].p90 < found[1].p90 < found[2].p90


def test_a_stall_jumps_to_nothing_absurd_and_back() -> None:
    def guess(seconds: float) -> float:
        return sure(estimate(working(0.5, 10), at(seconds), [Run(SIZE, 20)])).seconds

    guesses = [guess(10 + step / 10) for step in range(3000)]
    assert all(0.1 <= each <= 10.1 for each in guesses)


def test_what_comes_after_the_last_unit_is_part_of_the_guess() -> None:
    runs = [Run(SIZE, 20, tail=8)] * 5  # combining and publishing take nearly half
    assert sure(estimate(working(0.5, 6), at(6), runs)).seconds == pytest.approx(6 + 8)
    assert sure(estimate(working(1.0, 12), at(12), runs)).seconds == pytest.approx(8)
    assert sure(estimate(working(1.0, 12), at(17), runs)).seconds == pytest.approx(3)


def test_time_grows_with_size_as_earlier_runs_say() -> None:
    flat = [Run(size, 2.0) for size in (1_000, 10_000, 100_000)]  # all overhead
    found = sure(estimate(job(JobState.ACCEPTED), at(0), flat))
    assert 2 <= found.seconds < 4
    steep = [Run(size, size / 10_000) for size in (1_000, 10_000, 100_000)]
    assert sure(estimate(job(JobState.ACCEPTED), at(0), steep)).seconds > 50


def test_a_size_nobody_has_seen_is_less_certain() -> None:
    runs = [Run(SIZE, 10)] * 10
    known, unknown = (
        sure(estimate(job(JobState.ACCEPTED, size=size), at(0), runs)) for size in (SIZE, 50 * SIZE)
    )
    assert unknown.p90 / unknown.seconds > 1.5 * known.p90 / known.seconds


def test_the_last_phase_after_all_units_still_says_something() -> None:
    assert sure(estimate(working(1.0, 10), at(12), [])).seconds == 0.1


def test_a_clock_that_went_back_does_no_harm() -> None:
    assert sure(estimate(working(0.5, 10), at(-20), [])).seconds >= 0.1
    assert sure(estimate(job(), at(-20), [Run(SIZE, 10)])).seconds == 10


@given(
    truth=st.floats(1, 5000),
    history=st.lists(st.floats(0.8, 1.25), max_size=5),
    steps=st.integers(5, 200),
    lag=st.floats(0, 1),
)
def test_the_guess_falls_as_steady_work_proceeds_and_is_near_the_truth(
    truth: float, history: list[float], steps: int, lag: float
) -> None:
    runs = [Run(SIZE, truth * factor) for factor in history]
    guesses = []
    for step in range(1, steps):
        measured = truth * step / steps
        now = measured + lag * truth / steps  # progress is seen a little later than it is made
        found = sure(estimate(working(step / steps, measured), at(now), runs))
        assert found.p90 >= found.seconds >= 0.1
        assert abs(found.seconds - max(truth - now, 0)) <= 0.3 * truth + 0.3
        guesses.append(found.seconds)
    assert all(later <= earlier + 0.15 for earlier, later in itertools.pairwise(guesses))


@given(
    st.integers(0, 10**12),
    st.lists(st.tuples(st.integers(0, 10**12), st.floats(0, 1e7)), max_size=30),
    st.integers(0, 10**12),
    st.integers(0, 10**12),
    st.floats(0, 1e7),
    st.floats(0, 1e7),
)
def test_no_input_breaks_it(
    size: int, history: list[tuple[int, float]], done: int, total: int, now: float, measured: float
) -> None:
    runs = [Run(*each) for each in history]
    progress = Progress(done, total or None, "rows", "working")
    found = estimate(job(size=size, progress=progress, last_progress=at(measured)), at(now), runs, 5.0)
    assert found is None or 0.1 <= found.seconds <= found.p90


def test_planning_and_the_work_of_an_earlier_run_tell_nothing_of_the_pace() -> None:
    begun = at(10)  # ten seconds of planning, or of waiting for a scheduler that came back
    half = Progress(SIZE // 2, SIZE, "rows", "reading")
    planned = job(progress=half, last_progress=at(20), pace_since=begun)
    assert sure(estimate(planned, at(20), [])).seconds == pytest.approx(10)
    again = job(progress=half, last_progress=at(20), pace_since=begun, pace_done=SIZE // 4)
    assert sure(estimate(again, at(20), [])).seconds == pytest.approx(20)
    waits = job(progress=half, last_progress=None, pace_since=begun, pace_done=SIZE // 2)
    assert estimate(waits, at(20), []) is None
