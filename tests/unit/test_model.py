"""The pure rules of a job's life: its moves, its id, when to ask again."""

from __future__ import annotations

import dataclasses
import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.model import MOVES, TERMINAL, JobState, NewJob, new_id, retry_after, sources_of

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def test_the_table_of_moves_knows_every_state() -> None:
    assert set(MOVES) == set(JobState)


def test_no_move_leaves_an_end() -> None:
    assert {state for state, targets in MOVES.items() if not targets} == TERMINAL


def test_only_a_waiting_job_starts_and_only_a_running_one_succeeds() -> None:
    assert sources_of(JobState.RUNNING) == {JobState.ACCEPTED}
    assert sources_of(JobState.SUCCESSFUL) == {JobState.RUNNING}
    assert sources_of(JobState.ACCEPTED) == {JobState.RUNNING}
    assert (
        sources_of(JobState.FAILED) == sources_of(JobState.DISMISSED) == {JobState.ACCEPTED, JobState.RUNNING}
    )


def test_every_state_can_reach_an_end() -> None:
    assert all(MOVES[state] & TERMINAL for state in set(JobState) - TERMINAL)


def test_states_are_the_words_of_the_wire() -> None:
    assert {str(state) for state in JobState} == {"accepted", "running", "successful", "failed", "dismissed"}


def test_an_id_is_url_safe_and_differs_at_the_same_moment() -> None:
    ids = {new_id(NOON) for _ in range(1000)}
    assert len(ids) == 1000
    assert all(re.fullmatch(r"[0-9a-z]{26}", each) for each in ids)


@given(st.integers(0, 10**11), st.integers(1, 10**9))
def test_ids_sort_by_time(seconds: int, milliseconds: int) -> None:
    early = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    assert new_id(early) < new_id(early + timedelta(milliseconds=milliseconds))


def test_an_id_cannot_be_guessed_from_its_neighbour() -> None:
    assert len({new_id(NOON)[10:] for _ in range(1000)}) == 1000  # what follows the time is random


@pytest.mark.parametrize(
    ("eta", "seconds"), [(None, 1), (0.0, 1), (0.1, 1), (3.0, 1), (3.1, 2), (45.0, 15), (90.0, 30), (1e9, 30)]
)
def test_clients_come_back_after_a_third_of_the_eta(eta: float | None, seconds: int) -> None:
    assert retry_after(eta) == seconds


def test_what_was_submitted_cannot_be_changed_afterwards() -> None:
    new = NewJob("id", "report", "t", {}, {}, 1, "rows")
    with pytest.raises(dataclasses.FrozenInstanceError):
        new.owner = "somebody else"  # type: ignore[misc]
